// SPDX-License-Identifier: MIT
#include "bindings/types/pipe_queue.h"

#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <new>

#include "bindings/py/ref.h"
#include "bindings/py/throw_raised.h"
#include "runtime/trace/counters.h"

namespace triga::sockets {
namespace {

// A pipe has room for 64 KB, so that of a thousand bytes each no call takes more.
constexpr std::size_t most_pieces_a_call = 64;

void release_piece(void* owner) noexcept { Py_DECREF(static_cast<PyObject*>(owner)); }

pipe_queue& queue_of(PyObject* self) noexcept { return *reinterpret_cast<pipe_queue*>(self); }

Py_ssize_t queue_length(PyObject* self) {
  pipe_queue& queue = queue_of(self);
  // An error is met again, and told, when the protocol has returned.
  if (queue.gathers && flush(queue) != 0) queue.gathers = false;
  return static_cast<Py_ssize_t>(queue.pending.bytes());
}

// `_buffer += data`
PyObject* queue_append(PyObject* self, PyObject* data) {
  const py::ref bytes = py::ref::steal(PyBytes_FromObject(data));
  if (!bytes) return nullptr;
  enqueue(queue_of(self), bytes.get());
  return Py_NewRef(self);
}

PyObject* queue_clear(PyObject* self, PyObject*) {
  queue_of(self).pending.clear();
  Py_RETURN_NONE;
}

void queue_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  queue_of(self).pending.~write_queue();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef queue_methods[] = {
    {"clear", queue_clear, METH_NOARGS, "Drops everything."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot queue_slots[] = {
    {Py_tp_doc, const_cast<char*>("What a pipe had no room for yet.")},
    {Py_tp_methods, queue_methods},
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {Py_sq_length, reinterpret_cast<void*>(queue_length)},
    {Py_sq_inplace_concat, reinterpret_cast<void*>(queue_append)},
    {0, nullptr},
};

PyType_Spec queue_spec = {
    .name = "triga._core.PipeQueue",
    .basicsize = sizeof(pipe_queue),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = queue_slots,
};

}  // namespace

PyObject* new_pipe_queue(PyTypeObject* type, int fd) {
  PyObject* const self = PyType_GenericAlloc(type, 0);
  if (self == nullptr) return nullptr;
  pipe_queue& queue = queue_of(self);
  new (&queue.pending) net::write_queue(&release_piece);
  queue.fd = fd;
  return self;
}

void enqueue(pipe_queue& queue, PyObject* data, Py_ssize_t taken) {
  queue.pending.push(PyBytes_AS_STRING(data) + taken,
                     static_cast<std::size_t>(PyBytes_GET_SIZE(data) - taken), Py_NewRef(data));
}

int flush(pipe_queue& queue) noexcept {
  std::array<iovec, most_pieces_a_call> room;
  while (!queue.pending.empty()) {
    const std::span<iovec> pieces = queue.pending.gather(room, SIZE_MAX);
    const ssize_t taken = ::writev(queue.fd, pieces.data(), static_cast<int>(pieces.size()));
    if (taken < 0) return errno == EAGAIN || errno == EINTR ? 0 : errno;
    std::size_t offered = 0;
    for (const iovec& each : pieces) offered += each.iov_len;
    queue.pending.consume(static_cast<std::size_t>(taken));
    trace::count(trace::counter::bytes_written, static_cast<std::uint64_t>(taken));
    if (static_cast<std::size_t>(taken) < offered) break;
  }
  return 0;
}

PyObject* make_pipe_queue_type(PyObject* core) {
  PyObject* const type = PyType_FromModuleAndSpec(core, &queue_spec, nullptr);
  if (type == nullptr) py::throw_raised();
  return type;
}

}  // namespace triga::sockets
