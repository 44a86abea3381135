// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::handles {

// Where asyncio's slots lie in an instance, in bytes.
struct layout {
  Py_ssize_t callback = 0;
  Py_ssize_t args = 0;
  Py_ssize_t cancelled = 0;
  Py_ssize_t loop = 0;
  Py_ssize_t source_traceback = 0;
  Py_ssize_t repr = 0;
  Py_ssize_t context = 0;
  Py_ssize_t scheduled = 0;  // TimerHandle only, as is `when`
  Py_ssize_t when = 0;
  Py_ssize_t lock = 0;  // _ThreadSafeHandle only, which is 3.14's and later
  Py_ssize_t weak = 0;  // the list of weak references; negative where it is before the object
  Py_ssize_t own = 0;   // own_fields, behind every slot of every kind

  bool operator==(const layout&) const = default;
};

// Reads it off the member descriptors of asyncio's classes; `thread_safe` may be None. Throws
// pybind11::error_already_set.
layout layout_of(PyObject* handle, PyObject* timer, PyObject* thread_safe);

// RuntimeError, as pybind11::error_already_set: `what` is not as in any asyncio that triga knows.
[[noreturn]] void refuse(const char* what);

}  // namespace triga::handles
