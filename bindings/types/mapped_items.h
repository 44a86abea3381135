// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

// Adds _core.MappedItems. Throws pybind11::error_already_set.
void add_mapped_items_type(PyObject* module);

}  // namespace triga
