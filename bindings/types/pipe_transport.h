// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::sockets {

// Make the native pipe transports under asyncio's own, which keep everything but receiving and sending of
// data: construction, ends, flow control, what is queued, repr. Throw pybind11::error_already_set.
PyObject* make_read_pipe_type(PyObject* core, PyObject* base);
PyObject* make_write_pipe_type(PyObject* core, PyObject* base);

}  // namespace triga::sockets
