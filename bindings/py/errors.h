// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace triga::py {

// Raises the OSError (or its subclass) of an errno.
[[noreturn]] inline void throw_os_error(int error) {
  errno = error;
  PyErr_SetFromErrno(PyExc_OSError);
  throw pybind11::error_already_set();
}

// The same with a text of one's own, to which the system's is added.
[[noreturn]] inline void throw_os_error(int error, const std::string& what) {
  const pybind11::tuple arguments = pybind11::make_tuple(error, what + ": " + std::strerror(error));
  PyErr_SetObject(PyExc_OSError, arguments.ptr());
  throw pybind11::error_already_set();
}

}  // namespace triga::py
