// SPDX-License-Identifier: MIT
// _core.FileQueue: the aio::file_queue of one loop, with asyncio's futures for its outcomes.
#include "bindings/types/file_queue.h"

#include <Python.h>

#include <cerrno>
#include <memory>
#include <unordered_map>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/py/raised.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/loop.h"
#include "runtime/aio/file_queue.h"

namespace triga {
namespace {

class file_call;

struct file_queue_object {
  PyObject_HEAD PyObject* loop;
  std::unique_ptr<aio::file_queue> queue;                           // null once closed
  std::unordered_map<PyObject*, std::unique_ptr<file_call>> calls;  // by future
};

file_queue_object* as_queue(PyObject* self) noexcept { return reinterpret_cast<file_queue_object*>(self); }

// An operation that a future waits for. Keeps the buffer alive for the kernel, whatever becomes of the
// future.
class file_call final : public aio::file_operation {
 public:
  file_call(file_queue_object* queue, PyObject* future) noexcept
      : queue_(queue), future_(py::ref::borrow(future)) {}
  file_call(const file_call&) = delete;
  file_call& operator=(const file_call&) = delete;
  file_call(file_call&&) = delete;
  file_call& operator=(file_call&&) = delete;
  ~file_call() {
    if (view_.obj != nullptr) PyBuffer_Release(&view_);
  }

  // A bytes object to read into. False: no memory.
  bool make_room(Py_ssize_t bytes) {
    bytes_ = py::ref::steal(PyBytes_FromStringAndSize(nullptr, bytes));
    if (!bytes_) return false;
    data = PyBytes_AS_STRING(bytes_.get());
    size = static_cast<std::size_t>(bytes);
    return true;
  }
  // What is to be written. False: `source` is no buffer.
  bool take(PyObject* source) {
    if (PyObject_GetBuffer(source, &view_, PyBUF_SIMPLE) != 0) return false;
    data = view_.buf;
    size = static_cast<std::size_t>(view_.len);
    return true;
  }

  void on_done(std::int64_t result) override;

 private:
  py::ref value_of(std::int64_t result);
  [[nodiscard]] bool tell(std::int64_t result);

  file_queue_object* queue_;  // holds this
  py::ref future_;
  py::ref bytes_;
  Py_buffer view_{};
};

py::ref file_call::value_of(std::int64_t result) {
  if (!bytes_) return py::ref::steal(PyLong_FromLongLong(result));
  if (result == PyBytes_GET_SIZE(bytes_.get())) return std::move(bytes_);
  PyObject* shorter = bytes_.release();
  if (_PyBytes_Resize(&shorter, static_cast<Py_ssize_t>(result)) != 0) return py::ref();
  return py::ref::steal(shorter);
}

py::ref os_error(std::int64_t error, const std::string& path) {
  errno = static_cast<int>(error);
  const py::ref name = path.empty() ? py::ref() : py::ref::steal(PyUnicode_DecodeFSDefault(path.c_str()));
  PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name.get());
  return py::take_raised();
}

// Completes the future, if nobody has cancelled it. False: an exception is set.
bool file_call::tell(std::int64_t result) {
  const py::ref done = py::ref::steal(PyObject_CallMethod(future_.get(), "done", nullptr));
  const int over = done ? PyObject_IsTrue(done.get()) : -1;
  if (over != 0) {
    // Nobody will come to know the descriptor of a file that was opened for a cancelled future.
    if (what == aio::verb::open && result >= 0) unique_fd(static_cast<int>(result)).reset();
    return over > 0;
  }
  if (result < 0) {
    const py::ref error = os_error(-result, path);
    return static_cast<bool>(
        py::ref::steal(PyObject_CallMethod(future_.get(), "set_exception", "(O)", error.get())));
  }
  const py::ref value = value_of(result);
  return value && py::ref::steal(PyObject_CallMethod(future_.get(), "set_result", "(O)", value.get()));
}

void file_call::on_done(std::int64_t result) {
  const py::ref future = future_;
  const py::ref keeps = py::ref::borrow(reinterpret_cast<PyObject*>(queue_));
  const auto self = queue_->calls.extract(future.get());  // this, which goes at the end
  if (!tell(result)) PyErr_WriteUnraisable(future.get());
}

// ---- methods

// A new future and its call, or null with an exception set.
file_call* new_call(PyObject* self, py::ref& future) {
  file_queue_object* const queue = as_queue(self);
  if (queue->queue == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the event loop of this file is closed");
    return nullptr;
  }
  future = py::ref::steal(PyObject_CallMethod(queue->loop, "create_future", nullptr));
  if (!future) return nullptr;
  return (queue->calls[future.get()] = std::make_unique<file_call>(queue, future.get())).get();
}

PyObject* start(PyObject* self, file_call* call, py::ref future, aio::verb what) {
  call->what = what;
  as_queue(self)->queue->start(*call);
  return future.release();
}

PyObject* give_up(PyObject* self, const py::ref& future) {
  as_queue(self)->calls.erase(future.get());
  return nullptr;
}

PyObject* queue_open(PyObject* self, PyObject* args) {
  const char* path = nullptr;
  int flags = 0;
  unsigned mode = 0;
  py::ref future;
  if (!PyArg_ParseTuple(args, "yiI:open", &path, &flags, &mode)) return nullptr;
  file_call* const call = new_call(self, future);
  if (call == nullptr) return nullptr;
  call->path = path;
  call->flags = flags;
  call->mode = mode;
  return start(self, call, std::move(future), aio::verb::open);
}

PyObject* queue_read(PyObject* self, PyObject* args) {
  int fd = -1;
  Py_ssize_t size = 0;
  long long offset = -1;
  py::ref future;
  if (!PyArg_ParseTuple(args, "inL:read", &fd, &size, &offset)) return nullptr;
  if (size < 0) return PyErr_Format(PyExc_ValueError, "the size of a read must not be negative");
  file_call* const call = new_call(self, future);
  if (call == nullptr) return nullptr;
  if (!call->make_room(size)) return give_up(self, future);
  call->fd = fd;
  call->offset = offset;
  return start(self, call, std::move(future), aio::verb::read);
}

PyObject* queue_write(PyObject* self, PyObject* args) {
  int fd = -1;
  PyObject* data = nullptr;
  long long offset = -1;
  py::ref future;
  if (!PyArg_ParseTuple(args, "iOL:write", &fd, &data, &offset)) return nullptr;
  file_call* const call = new_call(self, future);
  if (call == nullptr) return nullptr;
  if (!call->take(data)) return give_up(self, future);
  call->fd = fd;
  call->offset = offset;
  return start(self, call, std::move(future), aio::verb::write);
}

template <aio::verb What>
PyObject* queue_simple(PyObject* self, PyObject* args) {
  int fd = -1;
  long long offset = 0;
  py::ref future;
  if (!PyArg_ParseTuple(args, "i|L", &fd, &offset)) return nullptr;
  file_call* const call = new_call(self, future);
  if (call == nullptr) return nullptr;
  call->fd = fd;
  call->offset = offset;
  return start(self, call, std::move(future), What);
}

PyObject* queue_cancel(PyObject* self, PyObject* future) {
  file_queue_object* const queue = as_queue(self);
  const auto found = queue->calls.find(future);
  if (queue->queue != nullptr && found != queue->calls.end()) queue->queue->cancel(*found->second);
  Py_RETURN_NONE;
}

PyObject* queue_pending(PyObject* self, PyObject*) { return PyLong_FromSize_t(as_queue(self)->calls.size()); }

PyObject* queue_is_of_kernel(PyObject* self, PyObject*) {
  const auto& queue = as_queue(self)->queue;
  return PyBool_FromLong(queue != nullptr && queue->is_of_kernel());
}

void close_queue(file_queue_object* self) {
  // Nobody writes to the calls' buffers afterwards. The GIL is kept: the threads of a queue touch no Python.
  self->queue.reset();
  const auto gone = std::exchange(self->calls, {});
}

PyObject* queue_close(PyObject* self, PyObject*) {
  close_queue(as_queue(self));
  Py_RETURN_NONE;
}

PyMethodDef file_queue_methods[] = {
    {"open", queue_open, METH_VARARGS, "open(path: bytes, flags, mode) -> Future of the descriptor"},
    {"read", queue_read, METH_VARARGS,
     "read(fd, size, offset) -> Future of bytes; offset -1: the descriptor's own"},
    {"write", queue_write, METH_VARARGS, "write(fd, data, offset) -> Future of the number of bytes"},
    {"sync", queue_simple<aio::verb::sync>, METH_VARARGS,
     "sync(fd) -> Future: what was written is on the disk"},
    {"size", queue_simple<aio::verb::size>, METH_VARARGS, "size(fd) -> Future of the file's bytes"},
    {"truncate", queue_simple<aio::verb::truncate>, METH_VARARGS, "truncate(fd, size) -> Future"},
    {"close_fd", queue_simple<aio::verb::close>, METH_VARARGS, "close_fd(fd) -> Future"},
    {"cancel", queue_cancel, METH_O, "cancel(future): has the kernel end its operation early, if it can"},
    {"pending", queue_pending, METH_NOARGS, "pending() -> how many operations are not done"},
    {"is_of_kernel", queue_is_of_kernel, METH_NOARGS, "is_of_kernel() -> io_uring does it, not threads"},
    {"close", queue_close, METH_NOARGS, "close(): cancels and waits for what is under way"},
    {nullptr, nullptr, 0, nullptr},
};

// ---- life

PyObject* queue_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  PyObject* loop = nullptr;
  int by_kernel = 1;
  if (keywords != nullptr || !PyArg_ParseTuple(args, "O|p:FileQueue", &loop, &by_kernel)) return nullptr;
  loops::core* const core = loops::core_or_error(state_of(type).loop, loop);
  if (core == nullptr) return nullptr;
  py::ref self = py::ref::steal(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  file_queue_object* const queue = as_queue(self.get());
  new (&queue->queue) std::unique_ptr<aio::file_queue>;
  new (&queue->calls) std::unordered_map<PyObject*, std::unique_ptr<file_call>>;
  queue->loop = Py_NewRef(loop);
  queue->queue =
      by_kernel != 0 ? aio::file_queue::make(core->loop()) : aio::file_queue::make_of_threads(core->loop());
  return self.release();
}

int queue_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_queue(self)->loop);
  return 0;
}

int queue_clear(PyObject* self) {
  close_queue(as_queue(self));
  Py_CLEAR(as_queue(self)->loop);
  return 0;
}

void queue_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  queue_clear(self);
  std::destroy_at(&as_queue(self)->queue);
  std::destroy_at(&as_queue(self)->calls);
  type->tp_free(self);
  Py_DECREF(type);
}

PyType_Slot file_queue_slots[] = {
    {Py_tp_doc, const_cast<char*>("Operations on files for one of triga's event loops.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new)},
    {Py_tp_methods, file_queue_methods},
    {Py_tp_traverse, reinterpret_cast<void*>(queue_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(queue_clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {0, nullptr},
};

PyType_Spec file_queue_spec = {.name = "triga._core.FileQueue",
                               .basicsize = sizeof(file_queue_object),
                               .itemsize = 0,
                               .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                               .slots = file_queue_slots};

}  // namespace

void add_file_queue_type(PyObject* module) {
  const py::ref type = py::ref::steal(PyType_FromModuleAndSpec(module, &file_queue_spec, nullptr));
  if (!type || PyModule_AddObjectRef(module, "FileQueue", type.get()) != 0) py::throw_raised();
}

}  // namespace triga
