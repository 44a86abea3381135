// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::loops {

// A function that does what asyncio.create_task() does from 3.14 on: hands a coroutine, with any keywords, to
// create_task() of the running loop. `events` is the module asyncio.events, whose get_running_loop() is
// looked up at each call; `stock`, asyncio's own function, is called for loops of others, in debug mode
// (where it is seen in a task's source traceback) and for arguments that it has to refuse. A new reference.
PyObject* make_create_task(PyObject* core, PyObject* events, PyObject* stock);

}  // namespace triga::loops
