// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::streams {

// The type triga._core.CoroutineFunction(native, like): a method that calls the method descriptor `native`
// and has every attribute of the `async def` function `like`, its __code__ too. So
// inspect.iscoroutinefunction(), inspect.signature() and unittest.mock's specs see the method that they know,
// and it binds as a function does.
py::ref make_coroutine_function_type(PyObject* core);

}  // namespace triga::streams
