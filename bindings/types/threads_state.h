// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <memory>

#include "bindings/py/ref.h"
#include "runtime/exec/thread_handle.h"

namespace triga {

// What the threads of one interpreter share.
struct threads_state {
  // Threads may end after the module is gone, so they share the list.
  std::shared_ptr<exec::handle_list> handles = std::make_shared<exec::handle_list>();
  long running = 0;  // threads that run Python code, as _thread._count() counts; guarded by the GIL

  py::ref handle_type;  // _thread._ThreadHandle
  py::ref lease_type;   // the owner of a lease that no handle owns

  py::ref stock_start;  // the standard library's start_joinable_thread

  int visit(visitproc visit_one, void* argument) const {
    if (const int stop = handle_type.visit(visit_one, argument)) return stop;
    if (const int stop = stock_start.visit(visit_one, argument)) return stop;
    return lease_type.visit(visit_one, argument);
  }
  void clear() {
    handle_type.reset();
    lease_type.reset();
    stock_start.reset();
  }
};

}  // namespace triga
