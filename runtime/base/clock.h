// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace triga {

using nanoseconds = std::chrono::nanoseconds;

// CLOCK_MONOTONIC, the clock of time.monotonic(), asyncio's loop.time() and every futex wait in triga.
struct monotonic_clock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = nanoseconds;
  using time_point = std::chrono::time_point<monotonic_clock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept {
    timespec value{};
    clock_gettime(CLOCK_MONOTONIC, &value);
    return time_point(std::chrono::seconds(value.tv_sec) + nanoseconds(value.tv_nsec));
  }
};

using time_point = monotonic_clock::time_point;

// The moment that never comes: a deadline for "no timeout".
inline constexpr time_point never = time_point::max();

// now + delay, clamped to `never` where the sum would overflow.
inline time_point deadline_after(nanoseconds delay) noexcept {
  const time_point now = monotonic_clock::now();
  return delay >= never - now ? never : now + delay;
}

inline timespec to_timespec(nanoseconds duration) noexcept {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(), .tv_nsec = (duration - seconds).count()};
}

}  // namespace triga
