// SPDX-License-Identifier: MIT
#include "bindings/types/call_extras.h"

#include <cstdio>

#include "bindings/py/error.h"
#include "bindings/py/raised.h"
#include "bindings/types/future.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

bool has_expired(const call_extras& extras) noexcept {
  return extras.deadline != never && monotonic_clock::now() >= extras.deadline;
}

double seconds_of(nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

// The TimeoutError of a task that was not begun in time: a new reference.
py::ref expired_error(const call_extras& extras) {
  char text[160];
  std::snprintf(
      text, sizeof text, "the task was not run: it waited %.3f s for a worker, and its deadline was %.3f s",
      seconds_of(monotonic_clock::now() - extras.queued_at), seconds_of(extras.deadline - extras.queued_at));
  return py::ref::steal(PyObject_CallFunction(PyExc_TimeoutError, "s", text));
}

// Completes the future with `result`, or, if that is null, with the exception that is set.
bool complete_with(future_object* future, const py::ref& result) {
  if (result) return future_complete(future, result.get(), nullptr);
  const py::ref error = py::take_raised();
  return future_complete(future, nullptr, error.get());
}

bool end_expired(future_object* future, const call_extras& extras) {
  const int start = future_start(future);
  future->call.clear();
  if (start != 1) return start == 0;
  trace::count(trace::counter::tasks_expired);
  const py::ref error = expired_error(extras);
  return error ? future_complete(future, nullptr, error.get()) : complete_with(future, py::ref());
}

}  // namespace

void call_extras::run_detached() noexcept {
  // The state may change without the GIL, and nobody is told of this change.
  if (has_expired(*this) || !future->state.start()) return;
  has_run = true;
  work->run();
}

bool run_with_extras(future_object* future, call_extras& extras) {
  if (extras.has_run) {
    const py::ref result = py::ref::steal(extras.work->outcome());
    // Buffers are let go of before anybody learns that the call is over.
    py::error_aside raised;
    future->call.clear();
    raised.put_back();
    return complete_with(future, result);
  }
  // Native work that has not run was cancelled, which this tells its waiters, or was too late.
  if (extras.work != nullptr || has_expired(extras)) return end_expired(future, extras);
  return future->call.run_plain(future);
}

}  // namespace triga
