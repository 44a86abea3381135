// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::streams {

// The type triga._core.FunctionLike(native, like): calls `native`, a builtin or a method descriptor, and has
// every attribute of the Python function `like`, its __code__ too. So inspect.iscoroutinefunction(),
// inspect.signature() and unittest.mock's specs see the function that they know, and it binds as one does.
py::ref make_function_like_type(PyObject* core);

}  // namespace triga::streams
