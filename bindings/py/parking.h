// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/base/clock.h"
#include "runtime/sync/wait_list.h"

namespace triga::py {

enum class park_outcome {
  notified,   // a notification was meant for this thread
  timed_out,  // the deadline passed first
  failed,  // a Python signal handler raised; the exception is set, a notification that had arrived was passed
           // on
};

// This thread's place in a wait list, taken at construction, with the GIL held, so that whatever the caller
// has just seen cannot change unnoticed. Lives on the stack of a C function; holds no Python reference, and
// no reference may be owned by a local variable of its callers while it sleeps: on 3.11 to 3.13 a thread that
// wakes after finalization began is unwound through here without the GIL. Its place in the list is given up
// then, by the destructor, which needs only the list's own lock (the list's object outlives the thread's
// frames, whose references nobody drops).
class [[nodiscard]] parking {
 public:
  explicit parking(sync::wait_list& list) noexcept : list_(list) { list_.enqueue(self_); }
  parking(const parking&) = delete;
  parking& operator=(const parking&) = delete;
  parking(parking&&) = delete;
  parking& operator=(parking&&) = delete;
  ~parking() {
    if (enlisted_) list_.withdraw(self_);
  }

  // Sleeps without the GIL until notified or `deadline`; runs Python's signal handlers when a signal came,
  // and then sleeps for the time that remains.
  park_outcome wait(time_point deadline);

  // For a thread that was notified and cannot act on it: the next waiter gets the notification.
  void pass_on() noexcept { list_.notify(1); }

 private:
  // Off the list, whoever took it off; true if it was this call.
  bool leave() noexcept {
    enlisted_ = false;
    return list_.withdraw(self_);
  }

  sync::wait_list& list_;
  sync::waiter self_;
  bool enlisted_ = true;
};

}  // namespace triga::py
