// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace triga::proc {

// The parked word of a result ring: which bell wakes the parent, and from how many results on. A worker that
// runs out of tasks rings at once whatever the number.
struct parked {
  static constexpr std::uint32_t leader = 1;
  static constexpr std::uint32_t collector = 2;

  static constexpr std::uint32_t word(std::uint32_t who, std::uint32_t results) noexcept {
    return who | results << 8;
  }
  static constexpr std::uint32_t who(std::uint32_t word) noexcept { return word & 0xFF; }
  static constexpr std::uint32_t results(std::uint32_t word) noexcept { return word >> 8; }
};

}  // namespace triga::proc
