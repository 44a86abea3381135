// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

namespace triga::proc {

// How the items of a map are divided into tasks.
//
// Equal chunks, few enough to cost nothing, are too large at the end: one worker has the last while the
// others have nothing to do. So each chunk is a part of the items that are left, between two bounds. With
// equal bounds all chunks are of that size.
class chunk_plan {
 public:
  // 1/`share` of what is left to a chunk, `least` to `most` items; all three at least 1.
  constexpr chunk_plan(std::size_t most, std::size_t least, std::size_t share) noexcept
      : most_(std::max<std::size_t>(most, 1)),
        least_(std::clamp<std::size_t>(least, 1, most_)),
        share_(std::max<std::size_t>(share, 1)) {}

  // The size of the next chunk when `left` items are left.
  [[nodiscard]] constexpr std::size_t next(std::size_t left) const noexcept {
    const std::size_t part = left / share_ + (left % share_ != 0 ? 1 : 0);
    return std::min(left, std::clamp(part, least_, most_));
  }
  // How many chunks so many items make.
  [[nodiscard]] constexpr std::size_t count(std::size_t items) const noexcept {
    if (least_ == most_) return items / most_ + (items % most_ != 0 ? 1 : 0);
    std::size_t chunks = 0;
    for (; items != 0; ++chunks) items -= next(items);
    return chunks;
  }

 private:
  std::size_t most_;
  std::size_t least_;
  std::size_t share_;
};

}  // namespace triga::proc
