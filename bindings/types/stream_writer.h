// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::streams {

// The type of the native half of asyncio.StreamWriter; null with an exception set.
py::ref make_writer_base(PyObject* core);

}  // namespace triga::streams
