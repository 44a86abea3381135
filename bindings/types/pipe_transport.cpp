// SPDX-License-Identifier: MIT
// asyncio's pipe transports with native reading (and in pipe_write.cpp writing).
//
// Both do the plain case and leave the rest to asyncio's method, which makes the same system call again and
// meets the same end of file or error: it has the texts, the order of callbacks and the state of its version.
#include "bindings/types/pipe_transport.h"

#include <Python.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

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

// What the native type adds to asyncio's instance.
struct read_fields {
  bool last_was_large;
};

read_fields& own_fields_of(PyObject* self, const state& types) noexcept {
  return *reinterpret_cast<read_fields*>(reinterpret_cast<char*>(self) + types.pipe_fields_at);
}

// From this size on a read is worth asking the kernel first how much there is, so that it goes straight into
// the bytes object.
constexpr Py_ssize_t large_pipe_read = 32 * 1024;

// A bytes object for what is there, if that is much, and memory can be had.
py::ref exact_bytes(int fd) {
  int there = 0;
  if (::ioctl(fd, FIONREAD, &there) != 0 || there < large_pipe_read) return py::ref();
  const auto most = static_cast<Py_ssize_t>(transports::most_per_read);
  py::ref bytes = py::ref::steal(PyBytes_FromStringAndSize(nullptr, std::min<Py_ssize_t>(there, most)));
  if (!bytes) PyErr_Clear();  // the shared memory will do
  return bytes;
}

py::ref read_bytes(py::ref exact, const state& types, Py_ssize_t count) {
  if (!exact) {
    return py::ref::steal(
        PyBytes_FromStringAndSize(reinterpret_cast<const char*>(read_memory(types)), count));
  }
  PyObject* data = exact.release();
  if (PyBytes_GET_SIZE(data) != count) _PyBytes_Resize(&data, count);
  return py::ref::steal(data);
}

bool give(PyObject* self, const state& types, const py::ref& data) {
  if (!data) return false;
  trace::count(trace::counter::bytes_read, static_cast<std::uint64_t>(PyBytes_GET_SIZE(data.get())));
  const py::ref protocol = attribute(self, types.names.protocol_attribute);
  return protocol && py::ref::steal(PyObject_CallMethodOneArg(protocol.get(), types.names.data_received.get(),
                                                              data.get()));
}

PyObject* read_ready(PyObject* self, PyTypeObject* type, PyObject* const*, Py_ssize_t, PyObject*) {
  const state& types = state_of(type).sockets;
  const int fd = descriptor(self, types);
  if (fd < 0 && PyErr_Occurred() != nullptr) return nullptr;
  read_fields& fields = own_fields_of(self, types);
  py::ref exact = fields.last_was_large ? exact_bytes(fd) : py::ref();
  const ssize_t count = exact ? ::read(fd, PyBytes_AS_STRING(exact.get()),
                                       static_cast<std::size_t>(PyBytes_GET_SIZE(exact.get())))
                              : ::read(fd, read_memory(types), transports::most_per_read);
  if (count > 0) {
    fields.last_was_large = count >= large_pipe_read;
    if (!give(self, types, read_bytes(std::move(exact), types, count))) return nullptr;
  } else if (count == 0 || !would_block(errno)) {
    return PyObject_CallOneArg(types.stock_pipe_read.get(), self);
  }
  Py_RETURN_NONE;
}

PyMethodDef read_methods[] = {
    {"_read_ready", py::as_method(read_ready), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* make_pipe_type(PyObject* core, PyObject* base, const char* name, const char* doc,
                         PyMethodDef* methods, Py_ssize_t own_size) {
  const Py_ssize_t inherited = reinterpret_cast<PyTypeObject*>(base)->tp_basicsize;
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>(doc)},
      {Py_tp_methods, methods},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = name,
                      .basicsize = own_size == 0 ? 0 : static_cast<int>(inherited + own_size),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  const py::ref bases = py::ref::steal(PyTuple_Pack(1, base));
  PyObject* type = bases ? PyType_FromModuleAndSpec(core, &spec, bases.get()) : nullptr;
  if (type == nullptr) py::throw_raised();
  return type;
}

PyObject* make_read_pipe_type(PyObject* core, PyObject* base) {
  state& types = state_of(core).sockets;
  types.stock_pipe_read = py::ref::steal(PyObject_GetAttrString(base, "_read_ready"));
  if (!types.stock_pipe_read) py::throw_raised();
  types.pipe_fields_at = reinterpret_cast<PyTypeObject*>(base)->tp_basicsize;
  return make_pipe_type(core, base, "asyncio.unix_events._UnixReadPipeTransport",
                        "The read end of a pipe of triga's event loop.", read_methods, sizeof(read_fields));
}

}  // namespace triga::sockets
