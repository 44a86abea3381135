// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/exec/thread_pool.h"

namespace triga {

struct module_state;
struct future_object;

// The pool behind one executor: what stands where the standard library has a SimpleQueue of work items. The
// executor and every worker own a reference, so that a worker can finish when the executor is gone.
struct work_queue_object {
  PyObject_HEAD exec::thread_pool pool;
  PyObject* weak_references;
};

inline work_queue_object* as_work_queue(PyObject* object) noexcept {
  return reinterpret_cast<work_queue_object*>(object);
}

PyObject* work_queue_new(module_state& state, exec::thread_pool::options options);

// Takes the oldest future out of the queue: a new reference, or nullptr with no exception set.
future_object* work_queue_take(work_queue_object* queue);

void add_work_queue_type(PyObject* module);

}  // namespace triga
