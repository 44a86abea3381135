// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::sockets {

// Make the native pipe transports under asyncio's own, which keep everything but receiving, sending and
// queueing of data: construction, ends, flow control, repr. Throw pybind11::error_already_set.
PyObject* make_read_pipe_type(PyObject* core, PyObject* base);
PyObject* make_write_pipe_type(PyObject* core, PyObject* base);

// A type under `base` with `own_size` bytes more, which own nothing, behind its instances'. Throws
// pybind11::error_already_set.
PyObject* make_pipe_type(PyObject* core, PyObject* base, const char* name, const char* doc,
                         PyMethodDef* methods, Py_ssize_t own_size = 0);

}  // namespace triga::sockets
