// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

struct module_state;

// Adds the type of links to the module's state. Throws pybind11::error_already_set.
void make_future_link_type(PyObject* module);

// A new asyncio future of `loop`, which has to be one of triga's with nothing overridden, that follows
// `source`, a native concurrent.futures.Future. Null with an exception set.
PyObject* follow_future(module_state& state, PyObject* loop, PyObject* source);

// loop._follow(source): follow_future() where it can be, asyncio.wrap_future() elsewhere.
PyObject* follow_any_future(PyObject* loop, PyObject* source);

// tp_as_async->am_await of the native Future: waits in the running loop. RuntimeError if none runs here.
PyObject* await_future(PyObject* self);

}  // namespace triga
