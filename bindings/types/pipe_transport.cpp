// SPDX-License-Identifier: MIT
// asyncio's pipe transports with native reading and writing.
//
// Both do the plain case and leave the rest to asyncio's method, which makes the same system call again and
// meets the same end of file or error: it has the texts, the order of callbacks and the state of its version.
#include "bindings/types/pipe_transport.h"

#include <Python.h>
#include <unistd.h>

#include <cerrno>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/socket_operation.h"
#include "runtime/trace/counters.h"

namespace triga::sockets {
namespace {

py::ref attribute(PyObject* self, const py::ref& name) {
  return py::ref::steal(PyObject_GetAttr(self, name.get()));
}

bool would_block(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

// -1: an exception is set.
int descriptor(PyObject* self, const state& types) {
  const py::ref fd = attribute(self, types.names.pipe_fd);
  return fd ? static_cast<int>(PyLong_AsLong(fd.get())) : -1;
}

bool give(PyObject* self, const state& types, ssize_t count) {
  trace::count(trace::counter::bytes_read, static_cast<std::uint64_t>(count));
  const py::ref data =
      py::ref::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(read_memory(types)), count));
  const py::ref protocol = attribute(self, types.names.protocol_attribute);
  return data && protocol &&
         py::ref::steal(
             PyObject_CallMethodOneArg(protocol.get(), types.names.data_received.get(), data.get()));
}

PyObject* read_ready(PyObject* self, PyTypeObject* type, PyObject* const*, Py_ssize_t, PyObject*) {
  state& types = state_of(type).sockets;
  const int fd = descriptor(self, types);
  if (fd < 0 && PyErr_Occurred() != nullptr) return nullptr;
  const ssize_t count = ::read(fd, read_memory(types), transports::most_per_read);
  if (count > 0) {
    if (!give(self, types, count)) return nullptr;
  } else if (count == 0 || !would_block(errno)) {
    return PyObject_CallOneArg(types.stock_pipe_read.get(), self);
  }
  Py_RETURN_NONE;
}

// Is it bytes, and does nothing forbid or precede it? -1: an exception is set.
int is_plain(PyObject* self, const method_names& names, PyObject* data) {
  if (!PyBytes_CheckExact(data) || PyBytes_GET_SIZE(data) == 0) return 0;
  for (const py::ref* each : {&names.conn_lost, &names.closing, &names.buffer}) {
    const py::ref value = attribute(self, *each);
    const int set = value ? PyObject_IsTrue(value.get()) : -1;
    if (set != 0) return set < 0 ? -1 : 0;
  }
  return 1;
}

PyObject* write(PyObject* self, PyTypeObject* type, PyObject* const* args, Py_ssize_t count,
                PyObject* names) {
  state& types = state_of(type).sockets;
  if (!loops::check_process_of_transport(state_of(type).loop, self)) return nullptr;
  if (count != 1 || (names != nullptr && PyTuple_GET_SIZE(names) > 0)) {
    const py::ref method =
        py::ref::steal(PyObject_CallMethod(types.stock_pipe_write.get(), "__get__", "O", self));
    if (!method) return nullptr;
    return PyObject_Vectorcall(method.get(), args, static_cast<std::size_t>(count), names);
  }
  PyObject* data = args[0];
  PyObject* vector[] = {self, data};
  const int plain = is_plain(self, types.names, data);
  if (plain < 0) return nullptr;
  if (plain == 0) return PyObject_Vectorcall(types.stock_pipe_write.get(), vector, 2, nullptr);
  const int fd = descriptor(self, types);
  if (fd < 0 && PyErr_Occurred() != nullptr) return nullptr;
  const ssize_t size = PyBytes_GET_SIZE(data);
  const ssize_t written = ::write(fd, PyBytes_AS_STRING(data), static_cast<std::size_t>(size));
  if (written < 0) return PyObject_Vectorcall(types.stock_pipe_write.get(), vector, 2, nullptr);
  trace::count(trace::counter::bytes_written, static_cast<std::uint64_t>(written));
  if (written == size) Py_RETURN_NONE;
  const py::ref rest =
      py::ref::steal(PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + written, size - written));
  return rest ? PyObject_CallMethodOneArg(self, types.names.queue_rest.get(), rest.get()) : nullptr;
}

PyMethodDef read_methods[] = {
    {"_read_ready", py::as_method(read_ready), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef write_methods[] = {
    {"write", py::as_method(write), METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     "write(data): writes now what the pipe takes, the rest in the background."},
    {nullptr, nullptr, 0, nullptr},
};

// A type whose state is all in its base's instances.
PyObject* make_type(PyObject* core, PyObject* base, const char* name, const char* doc, PyMethodDef* methods) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(doc)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = name,
                      .basicsize = 0,
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  const py::ref bases = py::ref::steal(PyTuple_Pack(1, base));
  PyObject* type = bases ? PyType_FromModuleAndSpec(core, &spec, bases.get()) : nullptr;
  if (type == nullptr) py::throw_raised();
  return type;
}

py::ref method_of(PyObject* base, const char* name) {
  py::ref method = py::ref::steal(PyObject_GetAttrString(base, name));
  if (!method) py::throw_raised();
  return method;
}

}  // namespace

PyObject* make_read_pipe_type(PyObject* core, PyObject* base) {
  state_of(core).sockets.stock_pipe_read = method_of(base, "_read_ready");
  return make_type(core, base, "asyncio.unix_events._UnixReadPipeTransport",
                   "The read end of a pipe of triga's event loop.", read_methods);
}

PyObject* make_write_pipe_type(PyObject* core, PyObject* base) {
  state_of(core).sockets.stock_pipe_write = method_of(base, "write");
  return make_type(core, base, "asyncio.unix_events._UnixWritePipeTransport",
                   "The write end of a pipe of triga's event loop.", write_methods);
}

}  // namespace triga::sockets
