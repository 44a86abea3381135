// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/native/work.h"
#include "runtime/exec/task.h"

namespace triga {

struct future_object;

// What a queued call has beyond a function and its arguments: a priority, a deadline, or that its function is
// native work. Owned by the future's call, from its submission until it has run.
struct call_extras final : exec::task_extras, exec::detached_part {
  explicit call_extras(future_object* its_future) noexcept : future(its_future) {}

  // Has the worker do `its_work` without the GIL. The call's function keeps it alive.
  void set_work(native_work& its_work) noexcept {
    work = &its_work;
    detached = this;
  }

  // Unless the future was cancelled or the deadline has passed: then there is nothing to do but to say so.
  void run_detached() noexcept override;

  future_object* const future;
  native_work* work = nullptr;
  bool has_run = false;
};

// What future_call::run() does for a call with extras. False: an exception is set that is nobody's outcome.
bool run_with_extras(future_object* future, call_extras& extras);

}  // namespace triga
