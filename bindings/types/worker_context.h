// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

// On a worker of an executor with a worker context of its own (3.14's prepare_context): the context's
// run(task), which calls the task. nullptr on every other thread. Borrowed.
PyObject* current_worker_context() noexcept;

// Logs the exception that is set as an executor's worker does, and clears it.
void report_worker_error();

}  // namespace triga
