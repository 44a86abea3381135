// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::loops {

// The tuple of keyword names, ("context",), that _asyncio's Task and Future pass to call_soon(), or null if
// there is no _asyncio or it calls in another way. Leaves no exception set.
//
// They call call_soon(callback[, argument], context=...) for each step of a task and each callback of a
// future, and drop the handle unseen. The tuple is _asyncio's own object, which no Python code and no other
// extension can pass: who passes it wants no handle, and none has to be made.
py::ref find_asyncio_names(PyObject* module) noexcept;

}  // namespace triga::loops
