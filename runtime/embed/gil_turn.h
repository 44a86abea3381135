// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <chrono>

#include "runtime/base/clock.h"

namespace triga::embed {

// The problem: a thread that waits for the GIL asks for it after a switch interval, and CPython's bytecode
// hears that at the start of every function. A worker that runs one task of C after another would never hear
// it. To let go of the GIL now and then is no answer: a release wakes who waits, too late to find the GIL
// free, and its interval begins anew. (A worker that did so just before each interval's end kept all others
// out for as long as it had tasks.)
//
// So now and then the worker calls a Python function that does nothing: who has asked gets the GIL in it, by
// CPython's own rules, and nobody else does.
class gil_turn {
 public:
  // The worker has the GIL, as of now.
  void begin() noexcept { heard_at_ = monotonic_clock::now(); }

  // After each task, with the GIL. `empty_function`: new_empty_function(), or nullptr where there is none.
  // Not noexcept: on 3.11 to 3.13 a thread that waits for the GIL after finalization began is unwound through
  // this.
  void after_task(PyObject* empty_function) {
    if (++tasks_ % tasks_between_looks != 0) return;
    const time_point now = monotonic_clock::now();
    if (now - heard_at_ < often_enough) return;
    heard_at_ = now;
    if (empty_function != nullptr) call(empty_function);
  }

  // Requires the GIL. nullptr: there is no memory, and no exception is set.
  [[nodiscard]] static PyObject* new_empty_function() {
    PyObject* const globals = PyDict_New();
    PyObject* const code = Py_CompileString("None", "<triga>", Py_eval_input);
    PyObject* const function =
        globals != nullptr && code != nullptr ? PyFunction_New(code, globals) : nullptr;
    Py_XDECREF(code);
    Py_XDECREF(globals);
    if (function == nullptr) PyErr_Clear();
    return function;
  }

 private:
  static constexpr unsigned tasks_between_looks = 4;                         // at the clock
  static constexpr nanoseconds often_enough = std::chrono::milliseconds(1);  // CPython's interval: 5

  static void call(PyObject* function) {
    PyThreadState* const state = PyThreadState_Get();
    PyThreadState_EnterTracing(state);  // no tracer or profiler sees it
    PyObject* const nothing = PyObject_CallNoArgs(function);
    PyThreadState_LeaveTracing(state);
    Py_XDECREF(nothing);
    if (nothing == nullptr) leave_to_the_next_task();
  }

  // It can only be PyThreadState_SetAsyncExc()'s exception, which is not for this function.
  static void leave_to_the_next_task() {
    PyObject* const type = Py_XNewRef(PyErr_Occurred());
    PyErr_Clear();
    PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), type);
    Py_XDECREF(type);
  }

  unsigned tasks_ = 0;
  time_point heard_at_{};
};

}  // namespace triga::embed
