// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

void add_executor_type(PyObject* module);

}  // namespace triga
