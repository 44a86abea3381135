// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <memory>

#include "runtime/exec/thread_handle.h"

namespace triga {

struct module_state;

// _thread._ThreadHandle of 3.13 and later.
struct thread_handle_object {
  PyObject_HEAD std::shared_ptr<exec::thread_handle> handle;
};

// An attribute of a Thread object on 3.11 and 3.12, whose Thread objects have no handle: keeps the lease, and
// lets a join look out for the end of the thread.
struct thread_lease_object {
  PyObject_HEAD std::shared_ptr<exec::thread_handle> handle;
};

// A new handle that is not started, or nullptr with an exception set.
PyObject* thread_handle_new(module_state& state);

PyObject* thread_lease_new(module_state& state, std::shared_ptr<exec::thread_handle> handle);

// Adds the types to the module and its state.
void add_thread_handle_types(PyObject* module);

// Waits for the end of a thread, without the GIL, running Python's signal handlers. False: an exception is
// set. The deadline's passing is no error.
bool join_thread(const std::shared_ptr<exec::thread_handle>& handle, time_point deadline);

}  // namespace triga
