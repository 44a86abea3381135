// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

// _core.FileQueue(loop): operations on files, whose outcome asyncio futures of the loop bring. triga.aio
// stands on it. Throws pybind11::error_already_set.
void add_file_queue_type(PyObject* module);

}  // namespace triga
