// SPDX-License-Identifier: MIT
// The write end of a pipe: what it takes at once, and what waits.
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/py/raised.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/pipe_queue.h"
#include "bindings/types/pipe_transport.h"
#include "bindings/types/socket_operation.h"
#include "runtime/trace/counters.h"

namespace triga::sockets {
namespace {

// The transport's queue; null if `_buffer` is something else, or with an exception set.
py::ref queue_of_pipe(PyObject* self, const state& types) {
  py::ref buffer = py::ref::steal(PyObject_GetAttr(self, types.names.buffer.get()));
  return buffer && Py_IS_TYPE(buffer.get(), types.pipe_queue_type.type()) ? std::move(buffer) : py::ref();
}

pipe_queue& as_queue(const py::ref& queue) noexcept { return *reinterpret_cast<pipe_queue*>(queue.get()); }

// -1: an exception is set.
int is_set(PyObject* self, const py::ref& name) {
  const py::ref value = py::ref::steal(PyObject_GetAttr(self, name.get()));
  return value ? PyObject_IsTrue(value.get()) : -1;
}

// Is it bytes, and does nothing forbid it? -1: an exception is set.
int may_take(PyObject* self, const method_names& names, PyObject* data) {
  if (!PyBytes_CheckExact(data) || PyBytes_GET_SIZE(data) == 0) return 0;
  for (const py::ref* each : {&names.conn_lost, &names.closing}) {
    if (const int set = is_set(self, *each); set != 0) return set < 0 ? -1 : 0;
  }
  return 1;
}

// False: an exception is set.
bool is_above_high_water(PyObject* self, const state& types, const pipe_queue& queue, bool& above) {
  const py::ref mark = py::ref::steal(PyObject_GetAttr(self, types.names.high_water.get()));
  if (!mark) return false;
  const std::size_t most = PyLong_AsSize_t(mark.get());
  above = queue.pending.bytes() > most;
  return most != static_cast<std::size_t>(-1) || PyErr_Occurred() == nullptr;
}

bool call(PyObject* self, const py::ref& method) {
  return static_cast<bool>(py::ref::steal(PyObject_CallMethodNoArgs(self, method.get())));
}

// What was queued may be too much: then the protocol is told, if the pipe takes none of it.
bool queued(PyObject* self, const state& types, pipe_queue& queue) {
  bool above = false;
  if (!is_above_high_water(self, types, queue, above)) return false;
  if (!above) return true;
  if (queue.gathers) {
    (void)flush(queue);  // an error is met again, and told, when the protocol has returned
    if (queue.pending.empty()) return true;
    queue.gathers = false;  // the pipe is full
  }
  return call(self, types.names.pause_if_needed);
}

PyObject* stock_write(PyObject* self, const state& types, PyObject* data) {
  PyObject* vector[] = {self, data};
  return PyObject_Vectorcall(types.stock_pipe_write.get(), vector, 2, nullptr);
}

PyObject* write_bytes(PyObject* self, const state& types, pipe_queue& queue, PyObject* data) {
  Py_ssize_t taken = 0;
  if (queue.pending.empty() && !queue.gathers) {
    const Py_ssize_t size = PyBytes_GET_SIZE(data);
    taken = ::write(queue.fd, PyBytes_AS_STRING(data), static_cast<std::size_t>(size));
    if (taken < 0 && errno != EAGAIN && errno != EINTR) return stock_write(self, types, data);
    if (taken > 0) trace::count(trace::counter::bytes_written, static_cast<std::uint64_t>(taken));
    if (taken == size) Py_RETURN_NONE;
    if (!call(self, types.names.watch_writable)) return nullptr;
  }
  enqueue(queue, data, taken > 0 ? taken : 0);
  if (!queued(self, types, queue)) return nullptr;
  Py_RETURN_NONE;
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
  PyObject* const data = args[0];
  const int plain = may_take(self, types.names, data);
  if (plain < 0) return nullptr;
  const py::ref queue = plain == 1 ? queue_of_pipe(self, types) : py::ref();
  if (queue) return write_bytes(self, types, as_queue(queue), data);
  return PyErr_Occurred() != nullptr ? nullptr : stock_write(self, types, data);
}

PyObject* write_failed(PyObject* self, const state& types, int error) {
  const py::ref number = py::ref::steal(PyLong_FromLong(error));
  return number ? PyObject_CallMethodOneArg(self, types.names.write_failed.get(), number.get()) : nullptr;
}

// Nothing is queued any more: the protocol may go on. 0, or the errno of what it wrote then; -1: an exception
// is set, which the protocol let out.
int resume(PyObject* self, const state& types, pipe_queue& queue) {
  queue.gathers = true;
  const bool good = call(self, types.names.resume_if_possible);
  queue.gathers = false;
  if (good) return flush(queue);
  py::ref raised = py::take_raised();
  (void)flush(queue);  // an error is met again at the next report
  py::raise_again(std::move(raised));
  return -1;
}

// Writability is watched till now, so that a protocol that fills the pipe again costs no system call. False:
// an exception is set.
bool unwatch_if_empty(PyObject* self, const state& types, const pipe_queue& queue) {
  return !queue.pending.empty() || call(self, types.names.unwatch_writable);
}

PyObject* all_is_sent(PyObject* self, const state& types, pipe_queue& queue) {
  const int was_closing = is_set(self, types.names.closing);
  if (was_closing < 0) return nullptr;
  const int error = resume(self, types, queue);
  if (error > 0) return write_failed(self, types, error);
  if (error < 0) {
    py::ref raised = py::take_raised();
    if (!unwatch_if_empty(self, types, queue)) PyErr_WriteUnraisable(self);
    py::raise_again(std::move(raised));
    return nullptr;
  }
  if (!unwatch_if_empty(self, types, queue)) return nullptr;
  if (was_closing == 1) return PyObject_CallMethodNoArgs(self, types.names.end_of_pipe.get());
  Py_RETURN_NONE;
}

PyObject* write_ready(PyObject* self, PyTypeObject* type, PyObject* const*, Py_ssize_t, PyObject*) {
  const state& types = state_of(type).sockets;
  const py::ref held = queue_of_pipe(self, types);
  if (!held) return PyErr_Occurred() != nullptr ? nullptr : Py_NewRef(Py_None);
  pipe_queue& queue = as_queue(held);
  if (const int error = flush(queue); error != 0) return write_failed(self, types, error);
  if (queue.pending.empty()) return all_is_sent(self, types, queue);
  Py_RETURN_NONE;
}

PyObject* make_queue(PyObject* self, PyTypeObject* type, PyObject* const*, Py_ssize_t, PyObject*) {
  const state& types = state_of(type).sockets;
  const py::ref fd = py::ref::steal(PyObject_GetAttr(self, types.names.pipe_fd.get()));
  const long number = fd ? PyLong_AsLong(fd.get()) : -1;
  if (number < 0 && PyErr_Occurred() != nullptr) return nullptr;
  return new_pipe_queue(types.pipe_queue_type.type(), static_cast<int>(number));
}

constexpr int with_class = METH_METHOD | METH_FASTCALL | METH_KEYWORDS;

PyMethodDef write_methods[] = {
    {"write", py::as_method(write), with_class,
     "write(data): writes now what the pipe takes, the rest in the background."},
    {"_write_ready", py::as_method(write_ready), with_class, nullptr},
    {"_make_queue", py::as_method(make_queue), with_class, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* make_write_pipe_type(PyObject* core, PyObject* base) {
  state& types = state_of(core).sockets;
  types.stock_pipe_write = py::ref::steal(PyObject_GetAttrString(base, "write"));
  if (!types.stock_pipe_write) py::throw_raised();
  types.pipe_queue_type = py::ref::steal(make_pipe_queue_type(core));
  return make_pipe_type(core, base, "asyncio.unix_events._UnixWritePipeTransport",
                        "The write end of a pipe of triga's event loop.", write_methods);
}

}  // namespace triga::sockets
