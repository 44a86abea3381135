// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/embed/object.h"
#include "runtime/embed/outcome.h"

namespace triga::embed {

// How a C++ type becomes a Python object and back; specialise it for types of your own. Both directions
// require the GIL.
//   static object to_python(const Value&)            an empty object: a Python exception is set
//   static outcome<Value> from_python(PyObject*)     strict: no int from "3", no str from bytes
template <class Value>
struct converter;

template <std::integral Integer>
struct converter<Integer> {
  static object to_python(Integer value) {
    if constexpr (std::signed_integral<Integer>) return object::owning(PyLong_FromLongLong(value));
    return object::owning(PyLong_FromUnsignedLongLong(static_cast<unsigned long long>(value)));
  }
  static outcome<Integer> from_python(PyObject* value) {
    if constexpr (std::signed_integral<Integer>) {
      const long long number = PyLong_AsLongLong(value);
      if (number == -1 && PyErr_Occurred() != nullptr) return take_failure();
      if (std::in_range<Integer>(number)) return static_cast<Integer>(number);
    } else {
      const unsigned long long number = PyLong_AsUnsignedLongLong(value);
      if (number == static_cast<unsigned long long>(-1) && PyErr_Occurred() != nullptr) return take_failure();
      if (std::in_range<Integer>(number)) return static_cast<Integer>(number);
    }
    PyErr_SetString(PyExc_OverflowError, "Python int too large for the C++ integer");
    return take_failure();
  }
};

template <>
struct converter<bool> {
  static object to_python(bool value) { return object::owning(PyBool_FromLong(value ? 1 : 0)); }
  static outcome<bool> from_python(PyObject* value) {
    if (PyBool_Check(value)) return value == Py_True;
    PyErr_Format(PyExc_TypeError, "expected bool, not %.100s", Py_TYPE(value)->tp_name);
    return take_failure();
  }
};

template <>
struct converter<double> {
  static object to_python(double value) { return object::owning(PyFloat_FromDouble(value)); }
  static outcome<double> from_python(PyObject* value) {
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred() != nullptr) return take_failure();
    return number;
  }
};

template <>
struct converter<std::string> {
  static object to_python(const std::string& value) {
    return object::owning(PyUnicode_FromStringAndSize(value.data(), static_cast<Py_ssize_t>(value.size())));
  }
  static outcome<std::string> from_python(PyObject* value) {
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(value)) {
      PyErr_Format(PyExc_TypeError, "expected str, not %.100s", Py_TYPE(value)->tp_name);
      return take_failure();
    }
    const char* const text = PyUnicode_AsUTF8AndSize(value, &size);
    if (text == nullptr) return take_failure();
    return std::string(text, static_cast<std::size_t>(size));
  }
};

// bytes.
template <>
struct converter<std::vector<std::byte>> {
  static object to_python(const std::vector<std::byte>& value) {
    const auto* const data = reinterpret_cast<const char*>(value.data());
    return object::owning(PyBytes_FromStringAndSize(data, static_cast<Py_ssize_t>(value.size())));
  }
  static outcome<std::vector<std::byte>> from_python(PyObject* value) {
    char* data = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(value, &data, &size) != 0) return take_failure();
    const auto* const bytes = reinterpret_cast<const std::byte*>(data);
    return std::vector<std::byte>(bytes, bytes + size);
  }
};

// A list, and back any sequence.
template <class Item>
struct converter<std::vector<Item>> {
  static object to_python(const std::vector<Item>& value) {
    object list = object::owning(PyList_New(static_cast<Py_ssize_t>(value.size())));
    for (std::size_t at = 0; list && at < value.size(); ++at) {
      const object item = converter<Item>::to_python(value[at]);
      if (!item) return {};
      PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(at), Py_NewRef(item.get()));
    }
    return list;
  }
  static outcome<std::vector<Item>> from_python(PyObject* value) {
    const object sequence = object::owning(PySequence_Fast(value, "expected a sequence"));
    if (!sequence) return take_failure();
    std::vector<Item> items;
    for (Py_ssize_t at = 0; at < PySequence_Fast_GET_SIZE(sequence.get()); ++at) {
      auto item = converter<Item>::from_python(PySequence_Fast_GET_ITEM(sequence.get(), at));
      if (!item) return item.error();
      items.push_back(*std::move(item));
    }
    return items;
  }
};

template <>
struct converter<none> {
  static object to_python(none) { return object::borrowing(Py_None); }
  static outcome<none> from_python(PyObject* value) {
    if (value == Py_None) return none{};
    PyErr_Format(PyExc_TypeError, "expected None, not %.100s", Py_TYPE(value)->tp_name);
    return take_failure();
  }
};

// Any object, as it is.
template <>
struct converter<object> {
  static object to_python(const object& value) { return value; }
  static outcome<object> from_python(PyObject* value) { return object::borrowing(value); }
};

namespace detail {

// callable(*arguments), the arguments empty where a conversion failed. Requires the GIL.
[[nodiscard]] outcome<object> call(const object& callable, const object* arguments, std::size_t count);

}  // namespace detail

// Calls a Python object with C++ values and returns its result as one. Requires the GIL.
template <class Result, class... Arguments>
outcome<Result> call(const object& callable, const Arguments&... arguments) {
  const object converted[sizeof...(Arguments) + 1] = {converter<Arguments>::to_python(arguments)...};
  auto returned = detail::call(callable, converted, sizeof...(Arguments));
  if (!returned) return returned.error();
  return converter<Result>::from_python(returned->get());
}

}  // namespace triga::embed
