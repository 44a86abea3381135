// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cmath>
#include <optional>

#include "runtime/base/clock.h"

namespace triga::py {

// A timeout in seconds, an int or a float, as a duration. Nothing, with the standard library's exception set,
// for another type, NaN, or more seconds than CPython's clock holds. Rounds up, so that no wait is too short.
inline std::optional<nanoseconds> seconds(PyObject* object) {
  double value = 0;
  if (PyFloat_Check(object)) {
    value = PyFloat_AS_DOUBLE(object);
    if (std::isnan(value)) {
      PyErr_SetString(PyExc_ValueError, "Invalid value NaN (not a number)");
      return std::nullopt;
    }
  } else {
    value = static_cast<double>(PyLong_AsLongLong(object));
    if (PyErr_Occurred()) {
      if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_SetString(PyExc_OverflowError, "timestamp out of range for platform time_t");
      }
      return std::nullopt;
    }
  }
  value = std::ceil(value * 1e9);
  if (std::fabs(value) >= 9.2233720368547e18) {
    PyErr_SetString(PyExc_OverflowError, "timestamp out of range for platform time_t");
    return std::nullopt;
  }
  return nanoseconds(static_cast<nanoseconds::rep>(value));
}

}  // namespace triga::py
