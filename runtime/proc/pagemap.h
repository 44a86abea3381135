// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/base/unique_fd.h"

namespace triga::proc {

// What the kernel tells of this process's pages (Documentation/admin-guide/mm/pagemap.rst).
class pagemap {
 public:
  pagemap() noexcept;

  // Entries of as many pages as there is room for, from that one on. False if they cannot be had.
  bool read(std::uint64_t first_page, std::span<std::uint64_t> entries) const noexcept;

  // Private memory that is there; a page of a file that was written to is that, too.
  static bool is_private(std::uint64_t entry) noexcept {
    return is_set(entry, present) && !is_set(entry, file);
  }
  // That nobody else has any more: it was written to since the fork.
  static bool is_own(std::uint64_t entry) noexcept { return is_private(entry) && is_set(entry, exclusive); }

 private:
  static constexpr std::uint64_t exclusive = std::uint64_t{1} << 56;
  static constexpr std::uint64_t file = std::uint64_t{1} << 61;
  static constexpr std::uint64_t present = std::uint64_t{1} << 63;

  static bool is_set(std::uint64_t entry, std::uint64_t bit) noexcept { return (entry & bit) != 0; }

  unique_fd file_;
};

std::size_t page_size() noexcept;

}  // namespace triga::proc
