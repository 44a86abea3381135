// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace triga {

// Memory that is about to be filled for the first time, in small pages, takes three times as long as in huge
// ones: a fault each. The kernel is told which it may take; where it has none, nothing is lost.
inline void prefer_huge_pages(std::span<std::byte> memory) noexcept {
  constexpr std::uintptr_t page = 4096;
  constexpr std::size_t huge_page = std::size_t{2} << 20;
  if (memory.size() < 2 * huge_page) return;
  const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(memory.data()) + page - 1) & ~(page - 1);
  const std::uintptr_t end = (reinterpret_cast<std::uintptr_t>(memory.data()) + memory.size()) & ~(page - 1);
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace triga
