// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "runtime/base/clock.h"

namespace triga::sync {

inline void relax_processor() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

// How long to look for an event before sleeping for it.
//
// A sleeping processor takes 50 us and more to wake, so an event that comes within that time is cheaper to
// spin for; an event that comes later has cost the spin for nothing. The past tells which it will be: the
// average time of the last waits decides, and a spin is cut off at `longest`. Not thread-safe; one for each
// waiting place.
class adaptive_spin {
 public:
  explicit adaptive_spin(nanoseconds longest) noexcept : longest_(longest) {}

  // The time to give up spinning; `now` itself where spinning does not pay.
  [[nodiscard]] time_point limit(time_point now) const noexcept {
    return average_ <= 2 * longest_ ? now + longest_ : now;
  }
  // Tells how long the wait took in the end, slept or not.
  void waited(nanoseconds duration) noexcept {
    // Clamped, so that one long pause is forgotten within a few quick waits.
    average_ = (3 * average_ + std::min(duration, 20 * longest_)) / 4;
  }

 private:
  nanoseconds longest_;
  nanoseconds average_{0};
};

}  // namespace triga::sync
