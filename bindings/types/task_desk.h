// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

// The type triga._core.TaskDesk: the pending futures of a ProcessPoolExecutor, by number, from submit() to
// their completion.
PyObject* make_task_desk_type(PyObject* module);

}  // namespace triga
