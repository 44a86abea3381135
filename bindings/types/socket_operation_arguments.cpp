// SPDX-License-Identifier: MIT
// What socket operations are given: checked at their first step, as in a coroutine.
#include <algorithm>

#include "bindings/types/socket_operation.h"

namespace triga::sockets {
namespace {

bool check_blocking(const state& types, const operation_object& op) {
  if (loops::fields(op.loop).debug == 0) return true;
  const py::ref timeout = py::ref::steal(PyObject_CallMethodNoArgs(op.sock, types.names.gettimeout.get()));
  if (!timeout) return false;
  const py::ref zero = py::ref::steal(PyLong_FromLong(0));
  const int blocks = zero ? PyObject_RichCompareBool(timeout.get(), zero.get(), Py_NE) : -1;
  if (blocks == 1) PyErr_SetString(PyExc_ValueError, "the socket must be non-blocking");
  return blocks == 0;
}

bool read_size(operation_object& op, PyObject* given, const char* method) {
  op.sent = PyNumber_AsSsize_t(given, PyExc_OverflowError);
  if (op.sent >= 0) return true;
  if (PyErr_Occurred() == nullptr) PyErr_Format(PyExc_ValueError, "negative buffersize in %s", method);
  return false;
}

// No size, or zero, means the whole buffer.
bool read_size_of_buffer(operation_object& op) {
  op.sent = op.view.len;
  if (op.argument2 == nullptr) return true;
  const int given = PyObject_IsTrue(op.argument2);
  if (given <= 0) return given == 0;
  if (!read_size(op, op.argument2, "recvfrom_into")) return false;
  if (op.sent <= op.view.len) return true;
  PyErr_SetString(PyExc_ValueError, "nbytes is greater than the length of the buffer");
  return false;
}

bool read_arguments(operation_object& op) {
  switch (op.what) {
    case kind::recv:
      return read_size(op, op.argument, "recv");
    case kind::recvfrom:
      return read_size(op, op.argument, "recvfrom");
    case kind::recv_into:
      return PyArg_Parse(op.argument, "w*", &op.view) != 0;
    case kind::recvfrom_into:
      return PyArg_Parse(op.argument, "w*", &op.view) != 0 && read_size_of_buffer(op);
    case kind::sendall:
    case kind::sendto:
      return PyArg_Parse(op.argument, "y*", &op.view) != 0;
    case kind::accept:
    case kind::wait_writable:
      break;
  }
  return true;
}

}  // namespace

bool prepare(state& types, operation_object& op) {
  if (!check_blocking(types, op) || !read_arguments(op)) return false;
  const py::ref fd = py::ref::steal(PyObject_CallMethodNoArgs(op.sock, types.names.fileno.get()));
  if (!fd) return false;
  op.fd = static_cast<int>(PyLong_AsLong(fd.get()));  // -1 of a closed socket: its system call says so
  return PyErr_Occurred() == nullptr;
}

}  // namespace triga::sockets
