// SPDX-License-Identifier: MIT
#include "bindings/native/argument.h"

#include <cstring>
#include <limits>
#include <string>

#include "bindings/py/raised.h"

namespace triga {
namespace {

namespace py11 = pybind11;
using native::kind;

std::string type_of(py11::handle given) { return Py_TYPE(given.ptr())->tp_name; }

[[noreturn]] void refuse(PyObject* error, const argument_place& place, const native_type& type,
                         const std::string& got) {
  PyErr_Format(error, "argument %zu of %s(): expected %s, got %s", place.number, place.function.c_str(),
               type.name.c_str(), got.c_str());
  throw py11::error_already_set();
}

// The least and the greatest value of each integer type; unsigned ones are compared as such.
struct limits {
  std::int64_t least;
  std::uint64_t greatest;
};

template <class Integer>
constexpr limits limits_of() {
  return {static_cast<std::int64_t>(std::numeric_limits<Integer>::min()),
          static_cast<std::uint64_t>(std::numeric_limits<Integer>::max())};
}

limits limits_of(kind type) {
  switch (type) {
    case kind::int8:
      return limits_of<std::int8_t>();
    case kind::uint8:
      return limits_of<std::uint8_t>();
    case kind::int16:
      return limits_of<std::int16_t>();
    case kind::uint16:
      return limits_of<std::uint16_t>();
    case kind::int32:
      return limits_of<std::int32_t>();
    case kind::uint32:
      return limits_of<std::uint32_t>();
    case kind::int64:
      return limits_of<std::int64_t>();
    default:
      return limits_of<std::uint64_t>();
  }
}

// An int that lies between the limits, widened to 64 bits.
std::uint64_t integer(const argument_place& place, const native_type& type, py11::handle given) {
  const py::ref number = py::ref::steal(PyNumber_Index(given.ptr()));
  if (!number) {
    PyErr_Clear();
    refuse(PyExc_TypeError, place, type, type_of(given));
  }
  const limits within = limits_of(type.kind);
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(number.get(), &overflow);
  if (overflow == 0) {
    const bool fits =
        value >= within.least && (value < 0 || static_cast<std::uint64_t>(value) <= within.greatest);
    if (fits) return static_cast<std::uint64_t>(value);
  } else if (overflow > 0 && within.greatest == std::numeric_limits<std::uint64_t>::max()) {
    const unsigned long long large = PyLong_AsUnsignedLongLong(number.get());
    if (!PyErr_Occurred()) return large;
    PyErr_Clear();
  }
  refuse(PyExc_ValueError, place, type, "an int that is out of its range");
}

double floating(const argument_place& place, const native_type& type, py11::handle given) {
  const double value = PyFloat_AsDouble(given.ptr());
  if (value == -1 && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py11::error_already_set();
    PyErr_Clear();
    refuse(PyExc_TypeError, place, type, type_of(given));
  }
  return value;
}

// The letter of a buffer's element as native_type has it; 0 for what is no plain number.
char element_of(const Py_buffer& view) {
  const char* format = view.format != nullptr ? view.format : "B";
  if (std::strchr("@=<", *format) != nullptr && *format != '\0') ++format;
  if (format[0] == '\0' || format[1] != '\0') return 0;
  if (view.itemsize == 1) return std::strchr("bBc?", *format) != nullptr ? 'B' : '\0';
  if (std::strchr("fd", *format) != nullptr) return *format;
  const bool is_signed = std::strchr("hilqn", *format) != nullptr;
  if (!is_signed && std::strchr("HILQN", *format) == nullptr) return 0;
  switch (view.itemsize) {
    case 2:
      return is_signed ? 'h' : 'H';
    case 4:
      return is_signed ? 'i' : 'I';
    case 8:
      return is_signed ? 'q' : 'Q';
    default:
      return 0;
  }
}

std::string describe(const Py_buffer& view, py11::handle given) {
  const char* const format = view.format != nullptr ? view.format : "B";
  return type_of(given) + " with elements of format '" + format + "' (" + std::to_string(view.itemsize) +
         (view.itemsize == 1 ? " byte)" : " bytes)");
}

// ctypes' pointer objects export the pointer itself, which is not what is meant.
bool exports_a_pointer(const Py_buffer& view) {
  const char* format = view.format != nullptr ? view.format : "B";
  if (std::strchr("@=<", *format) != nullptr && *format != '\0') ++format;
  return *format == '&' || *format == 'P' || *format == 'z' || *format == 'Z' || *format == 'X' ||
         *format == 'O';
}

void check_buffer(const argument_place& place, const native_type& type, py11::handle given,
                  const Py_buffer& view, Py_ssize_t at_least) {
  if (exports_a_pointer(view)) {
    refuse(PyExc_TypeError, place, type,
           type_of(given) + ", which holds pointers; give the object that it points to");
  }
  if (type.element != 0 && element_of(view) != type.element) {
    refuse(PyExc_TypeError, place, type, describe(view, given));
  }
  if (type.writable && view.readonly != 0) {
    refuse(PyExc_BufferError, place, type, "a read-only " + type_of(given));
  }
  if (type.element == 0 || at_least == 0) return;
  const Py_ssize_t length = view.ndim > 0 && view.shape != nullptr ? view.shape[0] : 1;
  if (length >= at_least) return;
  refuse(PyExc_ValueError, place, type,
         type_of(given) + " with " + std::to_string(length) +
             " along its first dimension, and the loop has " + std::to_string(at_least));
}

std::uint64_t pointer(const argument_place& place, const native_type& type, py11::handle given,
                      Py_ssize_t at_least, native_arguments& to) {
  if (given.is_none()) return 0;
  if (type.element == 0 && PyLong_Check(given.ptr())) {
    const native_type address{.name = "an address", .kind = kind::uint64};
    return integer(place, address, given);
  }
  if (PyObject_CheckBuffer(given.ptr()) == 0) {
    refuse(PyExc_TypeError, place, type, type_of(given) + ", which has no buffer");
  }
  held_buffer buffer;
  // All of a buffer's layout, so that the message can say what is wrong with it.
  if (!buffer.acquire(given.ptr(), PyBUF_FULL_RO)) throw py11::error_already_set();
  if (PyBuffer_IsContiguous(&buffer.view(), 'C') == 0) {
    refuse(PyExc_BufferError, place, type, type_of(given) + ", which is not C-contiguous");
  }
  check_buffer(place, type, given, buffer.view(), at_least);
  to.buffers.push_back(std::move(buffer));
  return std::bit_cast<std::uintptr_t>(to.buffers.back().view().buf);
}

}  // namespace

void add_argument(const argument_place& place, const native_type& type, py11::handle given,
                  Py_ssize_t at_least, native_arguments& to) {
  bool fits = false;
  switch (type.kind) {
    case kind::float64:
      fits = to.registers.add_float64(floating(place, type, given));
      break;
    case kind::float32:
      fits = to.registers.add_float32(static_cast<float>(floating(place, type, given)));
      break;
    case kind::pointer:
      fits = to.registers.add_integer(pointer(place, type, given, at_least, to));
      break;
    case kind::boolean: {
      const int truth = PyObject_IsTrue(given.ptr());
      if (truth < 0) throw py11::error_already_set();
      fits = to.registers.add_integer(static_cast<std::uint64_t>(truth));
      break;
    }
    default:
      fits = to.registers.add_integer(integer(place, type, given));
  }
  // The function's parameters were counted when it was made.
  if (!fits) refuse(PyExc_TypeError, place, type, "more than fits in registers");
}

}  // namespace triga
