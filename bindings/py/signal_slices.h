// SPDX-License-Identifier: MIT
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/clock.h"

namespace triga::py {

// The problem: a signal interrupts a thread that sleeps in the kernel. One that comes after the last look at
// Python's handlers, but before the thread is asleep, interrupts nothing, and its handler would wait for the
// end of a wait that may have none. The window is no matter of microseconds: who lets go of the GIL wakes a
// thread that waits for it, which may run at once, in its place, and send the signal.
//
// So the thread that runs Python's handlers sleeps for 10 ms at first, then looks at the handlers again, and
// sleeps twice as long each time, up to a second. Other threads sleep through.
class signal_slices {
 public:
  // Until when to sleep now.
  [[nodiscard]] time_point next(time_point deadline) noexcept {
    if (!runs_handlers_) return deadline;
    const time_point end = deadline_after(slice_);
    slice_ = std::min<nanoseconds>(2 * slice_, longest);
    return std::min(end, deadline);
  }

 private:
  static constexpr nanoseconds first = std::chrono::milliseconds(10);
  static constexpr nanoseconds longest = std::chrono::seconds(1);

  // The main thread, also in a child that was forked from another one.
  const bool runs_handlers_ = syscall(SYS_gettid) == getpid();
  nanoseconds slice_ = first;
};

}  // namespace triga::py
