// SPDX-License-Identifier: MIT
#include "bindings/py/timeout.h"

#include <cmath>

#include "bindings/py/ref.h"

namespace triga::py {
namespace {

constexpr double timeout_max = 9223372036.0;            // threading.TIMEOUT_MAX, in seconds
constexpr double timestamp_max = 9223372036.854775807;  // what CPython's 64-bit nanosecond clock can hold

void set_range_error(double seconds) {
  if (std::isnan(seconds)) {
    PyErr_SetString(PyExc_ValueError, "Invalid value NaN (not a number)");
  } else if (seconds >= timestamp_max) {
#if PY_VERSION_HEX >= 0x030D0000
    PyErr_SetString(PyExc_OverflowError, "timestamp too large to convert to C PyTime_t");
#else
    PyErr_SetString(PyExc_OverflowError, "timestamp too large to convert to C _PyTime_t");
#endif
  } else {
    PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
  }
}

}  // namespace

bool deadline_in(PyObject* seconds, time_point& deadline) {
  const double value = PyFloat_AsDouble(seconds);
  if (value == -1.0 && PyErr_Occurred() != nullptr) return false;
  if (!(value <= timeout_max)) {
    set_range_error(value);
    return false;
  }
  // Rounded up, as CPython does: a wait never ends before its time.
  deadline =
      value <= 0 ? monotonic_clock::now() : deadline_after(nanoseconds(std::llround(std::ceil(value * 1e9))));
  return true;
}

bool wait_deadline_in(PyObject* seconds, time_point& deadline) {
  const double value = PyFloat_AsDouble(seconds);
  if (value == -1.0 && PyErr_Occurred() != nullptr) return false;
#if PY_VERSION_HEX >= 0x030E0000
  // NaN is no timeout any more, as far back as 3.14.10.
  const bool none = Py_Version >= 0x030E0AF0 ? value <= 0 : !(value > 0);
#else
  const bool none = !(value > 0);
#endif
  if (!none) return deadline_in(seconds, deadline);
  deadline = already;
  return true;
}

int is_negative(PyObject* number) {
  if (PyFloat_CheckExact(number)) return PyFloat_AS_DOUBLE(number) < 0 ? 1 : 0;
  const ref zero = ref::steal(PyLong_FromLong(0));
  return zero ? PyObject_RichCompareBool(number, zero.get(), Py_LT) : -1;
}

}  // namespace triga::py
