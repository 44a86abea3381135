// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <cerrno>

namespace triga::py {

// Raises the OSError (or its subclass) of an errno.
[[noreturn]] inline void throw_os_error(int error) {
  errno = error;
  PyErr_SetFromErrno(PyExc_OSError);
  throw pybind11::error_already_set();
}

}  // namespace triga::py
