// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/gil.h"
#include "bindings/py/signal_slices.h"
#include "runtime/base/clock.h"
#include "runtime/sync/futex.h"
#include "runtime/sync/spin.h"

namespace triga::py {

enum class waited { until_done, timed_out, failed };

// Waits without the GIL until done(), which is asked with the GIL. Meanwhile look(), without it, says whether
// to ask again, first in a spin if that has paid lately; then sleep() sleeps on the futex that look() looks
// at, until the time that it is given. Python's signal handlers run when a signal came; failed: one raised,
// and the exception is set.
//
// Whatever look() and sleep() touch has to be kept alive by the caller, who may be unwound without the GIL.
template <class Done, class Look, class Sleep>
waited wait_without_gil(sync::waiting_for what, time_point deadline, Done done, Look look, Sleep sleep) {
  const auto spin = [&] {
    sync::spin turn(what);
    while (turn.again()) {
      if (look()) return turn.succeeded();
    }
    return turn.began();
  };
  signal_slices slices;
  for (bool first = true; !done(); first = false) {
    const time_point until = slices.next(deadline);
    // A signal that comes during a spin interrupts no system call: its handlers are run before the sleep.
    sync::wait_status status = sync::wait_status::interrupted;
    {
      // Safe: see above.
      const gil_release released;
      if (!first || !spin()) status = sleep(until);
    }
    if (status == sync::wait_status::timed_out && until < deadline) status = sync::wait_status::interrupted;
    if (status == sync::wait_status::timed_out) return done() ? waited::until_done : waited::timed_out;
    if (status == sync::wait_status::interrupted && PyErr_CheckSignals() != 0) return waited::failed;
  }
  return waited::until_done;
}

}  // namespace triga::py
