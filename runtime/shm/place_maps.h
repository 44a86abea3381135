// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "runtime/shm/segment.h"

namespace triga::shm {

// How many places at the beginning of a region are used again and again, and their size; see region.
inline constexpr std::size_t kept_places = 2;
inline constexpr std::uint64_t kept_place_size = std::uint64_t{1} << 40;

// The kept places of a region as this process has them mapped, to copy into and out of them: a system call
// that copies takes its time for each page of the file, and a mapping that is made and undone does, too.
// Nobody but a copy in progress sees these mappings, so it does not matter that a fork shares them.
class place_maps {
 public:
  // `begin` is the region's; of each place `most` bytes are mapped at most.
  place_maps(std::uint64_t begin, std::uint64_t most) noexcept : begin_(begin), most_(most) {}

  // A mapping of the first `length` bytes at least, or of `most`, whose pages are there; null if this process
  // may map no more. Any thread.
  std::shared_ptr<const mapping> first(std::size_t place, std::uint64_t length, const segment& home) noexcept;

 private:
  std::uint64_t begin_;
  std::uint64_t most_;
  std::mutex mutex_;
  std::array<std::shared_ptr<const mapping>, kept_places> mapped_;  // guarded by mutex_
};

}  // namespace triga::shm
