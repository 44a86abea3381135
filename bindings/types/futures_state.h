// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga {

// The types of futures and executors of one interpreter, and the Python objects they need at hand.
struct futures_state {
  py::ref future_core;    // _core.FutureCore
  py::ref future;         // what submit() makes: the Python class on FutureCore and concurrent.futures.Future
  py::ref work_queue;     // _core.WorkQueue
  py::ref executor_core;  // _core.ExecutorCore
  py::ref watch;          // _core.CompletionWatch
  py::ref report_callback;  // report_callback(future, exception): logs what a callback raised
  py::ref empty_function;   // see embed::gil_turn

  template <class Visit>
  int each(Visit visit) {
    for (py::ref* each :
         {&future_core, &future, &work_queue, &executor_core, &watch, &report_callback, &empty_function}) {
      if (const int stop = visit(*each)) return stop;
    }
    return 0;
  }
  int visit(visitproc visit_one, void* argument) {
    return each([&](py::ref& one) { return one.visit(visit_one, argument); });
  }
  void clear() {
    each([](py::ref& one) { return one.reset(), 0; });
  }
};

}  // namespace triga
