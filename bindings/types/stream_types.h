// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/module_state.h"

namespace triga::streams {

// What the module that made a reader's or a writer's class keeps for them.
inline state& types_of(PyObject* self) { return state_of(Py_TYPE(self)).streams; }

}  // namespace triga::streams
