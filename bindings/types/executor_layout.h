// SPDX-License-Identifier: MIT
// What an ExecutorCore consists of.
#pragma once

#include <Python.h>

#include "bindings/types/work_queue.h"

namespace triga {

struct executor_object {
  PyObject_HEAD PyObject* queue;  // work_queue_object, from __init__ on
  PyObject* broken;               // False, or why the executor is broken
  PyObject* globals;  // the dict of concurrent.futures.thread, whose _shutdown says that the interpreter ends
  bool copies_context;  // each task runs in a copy of its submitter's context
  // resolve(fn, args, kwargs) -> task, for an executor with its own worker context, or nullptr
  PyObject* resolve;
};

inline executor_object* as_executor(PyObject* self) noexcept {
  return reinterpret_cast<executor_object*>(self);
}

inline exec::thread_pool& pool_of(executor_object* self) noexcept { return as_work_queue(self->queue)->pool; }

}  // namespace triga
