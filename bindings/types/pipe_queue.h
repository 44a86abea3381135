// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/net/write_queue.h"

namespace triga::sockets {

// What a pipe had no room for, under the name of the bytearray in which asyncio's transport keeps it
// (`_buffer`): asyncio's methods ask for its length and clear it, and add to it what is not bytes.
//
// It keeps bytes objects by reference, and sends many by one writev(2). While the transport asks its protocol
// to go on, it gathers: the protocol writes all that it has by then, and one system call takes what the pipe
// has room for. Who looks at the length meanwhile sees what would be left if everything had been sent.
struct pipe_queue {
  PyObject_HEAD net::write_queue pending;
  int fd;
  bool gathers;
};

// Of a transport that watches `fd`. Null with an exception set.
PyObject* new_pipe_queue(PyTypeObject* type, int fd);
// Appends a bytes object but for its first bytes, which the pipe took.
void enqueue(pipe_queue& queue, PyObject* data, Py_ssize_t taken = 0);
// Writes what the pipe takes. The errno of writev(2), never EAGAIN or EINTR, or 0.
[[nodiscard]] int flush(pipe_queue& queue) noexcept;

// Throws pybind11::error_already_set.
PyObject* make_pipe_queue_type(PyObject* core);

}  // namespace triga::sockets
