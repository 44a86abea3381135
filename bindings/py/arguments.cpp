// SPDX-License-Identifier: MIT
#include "bindings/py/arguments.h"

namespace triga::py {
namespace {

// The index of `keyword` in `names`, or -1, or -2 with an exception.
Py_ssize_t index_of(std::span<PyObject* const> names, PyObject* keyword) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == keyword) return static_cast<Py_ssize_t>(i);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const int equal = PyObject_RichCompareBool(names[i], keyword, Py_EQ);
    if (equal != 0) return equal > 0 ? static_cast<Py_ssize_t>(i) : -2;
  }
  return -1;
}

bool too_many(const char* function, std::size_t required, std::size_t most, Py_ssize_t given) {
  if (required == most) {
    PyErr_Format(PyExc_TypeError, "%s() takes %zu positional argument%s but %zd were given", function,
                 most + 1, most == 0 ? "" : "s", given + 1);
  } else {
    PyErr_Format(PyExc_TypeError, "%s() takes from %zu to %zu positional arguments but %zd were given",
                 function, required + 1, most + 1, given + 1);
  }
  return false;
}

}  // namespace

bool sort_arguments(const char* function, std::span<PyObject* const> names, std::size_t required,
                    PyObject* const* arguments, Py_ssize_t positional, PyObject* keywords,
                    std::span<PyObject*> values) {
  const auto given = static_cast<std::size_t>(positional);
  if (given > names.size()) return too_many(function, required, names.size(), positional);
  for (std::size_t i = 0; i < given; ++i) values[i] = arguments[i];
  const Py_ssize_t keyword_count = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  bool required_by_keyword = false;
  for (Py_ssize_t k = 0; k < keyword_count; ++k) {
    PyObject* const keyword = PyTuple_GET_ITEM(keywords, k);
    const Py_ssize_t index = index_of(names, keyword);
    if (index == -2) return false;
    if (index < 0) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, keyword);
      return false;
    }
    if (index < positional) {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, keyword);
      return false;
    }
    values[static_cast<std::size_t>(index)] = arguments[positional + k];
    required_by_keyword = required_by_keyword || static_cast<std::size_t>(index) < required;
  }
  if (given >= required) return true;
  // No function here requires more than one argument, so this names the right one.
  if (required_by_keyword) return true;
  PyErr_Format(PyExc_TypeError, "%s() missing 1 required positional argument: '%U'", function, names[given]);
  return false;
}

}  // namespace triga::py
