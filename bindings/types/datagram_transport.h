// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::sockets {

// Makes the native datagram transport under asyncio's own, which keeps everything but receiving and sending a
// datagram: construction, queueing of what the kernel would not take, flow control, ends, repr. Throws
// pybind11::error_already_set.
PyObject* make_datagram_type(PyObject* core, PyObject* base);

}  // namespace triga::sockets
