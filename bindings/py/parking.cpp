// SPDX-License-Identifier: MIT
#include "bindings/py/parking.h"

#include <utility>

#include "bindings/py/gil.h"
#include "bindings/py/signal_slices.h"
#include "bindings/py/timeout.h"

namespace triga::py {

park_outcome parking::wait(time_point deadline) {
  // Without a time to wait the GIL is not let go of.
  if (deadline == already) return leave() ? park_outcome::timed_out : park_outcome::notified;
  bool may_spin = true;
  signal_slices slices;
  while (!self_.notified()) {
    const time_point until = slices.next(deadline);
    sync::wait_status status = sync::wait_status::interrupted;
    {
      // Safe: the sleeper touches its own stack and, through the kernel, its futex word; notifiers touch the
      // list.
      const gil_release released;
      const auto look =
          std::exchange(may_spin, false) ? self_.spin_for_notification() : sync::waiter::look_out::not_now;
      if (look == sync::waiter::look_out::came) break;
      // A signal that came during a spin interrupts no system call: its handlers are run before the sleep.
      if (look == sync::waiter::look_out::not_now) status = self_.park(until);
    }
    if (status == sync::wait_status::timed_out && until < deadline) status = sync::wait_status::interrupted;
    if (status == sync::wait_status::timed_out) {
      return leave() ? park_outcome::timed_out : park_outcome::notified;
    }
    if (status != sync::wait_status::interrupted) continue;
    if (PyErr_CheckSignals() < 0) {
      if (!leave()) pass_on();
      return park_outcome::failed;
    }
    list_.enqueue_again_after_fork(self_);  // the handler may have forked, and this be the child
  }
  return park_outcome::notified;
}

}  // namespace triga::py
