// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <span>

namespace triga::py {

// Sorts the arguments of a METH_FASTCALL | METH_KEYWORDS call into `values`, in the order of the interned
// `names`. Values that were not given keep what they hold. The first `required` have to be given. False with
// the TypeError that a function written in Python would raise; `function` is its qualified name, and it
// counts self as it would.
bool sort_arguments(const char* function, std::span<PyObject* const> names, std::size_t required,
                    PyObject* const* arguments, Py_ssize_t positional, PyObject* keywords,
                    std::span<PyObject*> values);

}  // namespace triga::py
