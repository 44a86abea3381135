// SPDX-License-Identifier: MIT
// The methods by which an ExecutorCore is given tasks.
#pragma once

#include <Python.h>

namespace triga {

// submit(fn, /, *args, **kwargs) -> future
PyObject* executor_submit(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names);

// _submit_with(priority, deadline, timeout, fn, /, *args, **kwargs): the door of options() and of
// submit_native(), whose fn is a NativeWork.
PyObject* executor_submit_with(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names);

// _submit_each(fn, iterable of argument tuples) -> list of futures
PyObject* executor_submit_each(PyObject* self, PyObject* const* args, Py_ssize_t count);

}  // namespace triga
