// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

// Adds start_new_thread, start_joinable_thread, join_threads, threads_to_join, thread_count and
// end_idle_threads.
void add_thread_functions(PyObject* module);

}  // namespace triga
