// SPDX-License-Identifier: MIT
#include "runtime/shm/place_maps.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace triga::shm {

std::shared_ptr<const mapping> place_maps::first(std::size_t place, std::uint64_t length,
                                                 const segment& home) noexcept {
  const std::uint64_t wanted = std::min(length, most_);
  if (wanted == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  auto& mapped = mapped_[place];
  if (mapped && mapped->size() >= wanted) return mapped;
  // More than is wanted now, so that payloads that grow do not have it mapped anew each time.
  const std::uint64_t size = std::min(std::bit_ceil(wanted), most_);
  auto made = home.map(begin_ + place * kept_place_size, size, segment::access::shared);
  if (!made) return nullptr;
  map_pages(made->bytes().first(wanted));
  try {
    // Who copies at this moment has the old one still.
    mapped = std::make_shared<const mapping>(std::move(*made));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return mapped;
}

}  // namespace triga::shm
