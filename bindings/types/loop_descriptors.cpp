// SPDX-License-Identifier: MIT
// LoopBase: readers and writers of descriptors, and the descriptor that signals are written to.
#include <cerrno>
#include <climits>
#include <utility>

#include "bindings/py/method.h"
#include "bindings/types/loop.h"

namespace triga::loops {
namespace {

enum class side { read, write };

py::ref& handle_of(descriptor_watch& watch, side which) noexcept {
  return which == side::read ? watch.reader : watch.writer;
}

std::uint32_t events_of(const descriptor_watch& watch) noexcept {
  return (watch.reader ? std::uint32_t{EPOLLIN} : 0U) | (watch.writer ? std::uint32_t{EPOLLOUT} : 0U);
}

// As selectors' own conversion: an int, or what fileno() returns; ValueError for anything else. -1: an
// exception.
int descriptor_of(PyObject* file) {
  py::ref number = PyLong_Check(file) ? py::ref::borrow(file) : py::ref();
  if (!number) {
    const py::ref answer = py::ref::steal(PyObject_CallMethod(file, "fileno", nullptr));
    if (answer) number = py::ref::steal(PyNumber_Long(answer.get()));
    if (!number) {
      if (PyErr_ExceptionMatches(PyExc_AttributeError) || PyErr_ExceptionMatches(PyExc_TypeError) ||
          PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Format(PyExc_ValueError, "Invalid file object: %R", file);
      }
      return -1;
    }
  }
  const long fd = PyLong_AsLong(number.get());
  if (fd == -1 && PyErr_Occurred() != nullptr) return -1;
  if (fd < 0 || fd > INT_MAX) {
    PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %ld", fd);
    return -1;
  }
  return static_cast<int>(fd);
}

PyObject* raise_errno(int error) {
  errno = error;
  return PyErr_SetFromErrno(PyExc_OSError);
}

bool cancel(PyObject* handle) {
  return static_cast<bool>(py::ref::steal(PyObject_CallMethod(handle, "cancel", nullptr)));
}

// Registers what the watch wants now; drops the registration if that is nothing or the descriptor is gone.
io::status refresh(core& loop, descriptor_watch& watch) {
  const std::uint32_t events = events_of(watch);
  if (events != 0) {
    return loop.poller().watches(watch.fd) ? loop.poller().modify(watch.fd, events, watch)
                                           : loop.poller().add(watch.fd, events, watch);
  }
  loop.poller().remove(watch.fd);
  return io::status(std::monostate{});
}

// Takes one side off. The handle it had, or null.
py::ref take_off(core& loop, descriptor_watch& watch, side which) {
  py::ref handle = std::move(handle_of(watch, which));
  if (handle && !refresh(loop, watch)) loop.poller().remove(watch.fd);  // closed before it was removed
  return handle;
}

PyObject* context_keyword(PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (names == nullptr || PyTuple_GET_SIZE(names) == 0) return Py_None;
  if (PyTuple_GET_SIZE(names) == 1 &&
      PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "context") == 0) {
    return args[count];
  }
  PyErr_SetString(PyExc_TypeError, "the only keyword is context");
  return nullptr;
}

template <side Which>
PyObject* add(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count < 2) return PyErr_Format(PyExc_TypeError, "a descriptor and a callback are needed");
  PyObject* context = context_keyword(args, count, names);
  if (context == nullptr || !check_open(self)) return nullptr;
  const int fd = descriptor_of(args[0]);
  if (fd < 0) return nullptr;
  core& loop = core_of(self);
  py::ref handle = py::ref::steal(handles::make(loop.handles(), self, args[1], args + 2, count - 2, context));
  if (!handle) return nullptr;
  handles::track(handle.get());
  if (fields(self).debug != 0 && !handles::set_source_traceback(loop.handles(), handle.get())) return nullptr;
  descriptor_watch& watch = loop.watch(fd);
  py::ref old = std::exchange(handle_of(watch, Which), handle);
  if (const io::status done = refresh(loop, watch); !done) {
    handle_of(watch, Which) = std::move(old);
    return raise_errno(done.error());
  }
  if (old && !cancel(old.get())) return nullptr;
  return handle.release();
}

template <side Which>
PyObject* remove(PyObject* self, PyObject* file) {
  if (fields(self).closed != 0) Py_RETURN_FALSE;
  const int fd = descriptor_of(file);
  if (fd < 0) return nullptr;
  core& loop = core_of(self);
  descriptor_watch* watch = loop.find_watch(fd);
  const py::ref handle = watch != nullptr ? take_off(loop, *watch, Which) : py::ref();
  if (!handle) Py_RETURN_FALSE;
  if (!cancel(handle.get())) return nullptr;
  Py_RETURN_TRUE;
}

// add_reader(fd, callback, *args) and its kin: asyncio's check that no transport uses the descriptor, then
// ours.
template <side Which>
PyObject* add_public(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count < 2) return PyErr_Format(PyExc_TypeError, "a descriptor and a callback are needed");
  if (!py::ref::steal(PyObject_CallMethod(self, "_ensure_fd_no_transport", "O", args[0]))) return nullptr;
  const py::ref method =
      py::ref::steal(PyObject_GetAttrString(self, Which == side::read ? "_add_reader" : "_add_writer"));
  if (!method ||
      !py::ref::steal(PyObject_Vectorcall(method.get(), args, static_cast<std::size_t>(count), nullptr))) {
    return nullptr;
  }
  Py_RETURN_NONE;
}

template <side Which>
PyObject* remove_public(PyObject* self, PyObject* file) {
  if (!py::ref::steal(PyObject_CallMethod(self, "_ensure_fd_no_transport", "O", file))) return nullptr;
  return PyObject_CallMethod(self, Which == side::read ? "_remove_reader" : "_remove_writer", "O", file);
}

// [(fd, selectors' event mask, reader or None, writer or None), ...]: what asyncio's _selector would hold.
PyObject* descriptors(PyObject* self, PyObject*) {
  core& loop = core_of(self);
  py::ref list = py::ref::steal(PyList_New(0));
  for (int fd = 0; list && static_cast<std::size_t>(fd) < loop.watch_numbers(); ++fd) {
    const descriptor_watch* watch = loop.find_watch(fd);
    if (watch == nullptr || events_of(*watch) == 0) continue;
    const int mask = (watch->reader ? 1 : 0) | (watch->writer ? 2 : 0);
    const auto or_none = [](const py::ref& handle) { return handle ? handle.get() : Py_None; };
    const py::ref entry =
        py::ref::steal(Py_BuildValue("(iiOO)", fd, mask, or_none(watch->reader), or_none(watch->writer)));
    if (!entry || PyList_Append(list.get(), entry.get()) != 0) return nullptr;
  }
  return list.release();
}

PyObject* watch_signals(PyObject* self, PyObject* file) {
  const int fd = descriptor_of(file);
  if (fd < 0) return nullptr;
  if (const io::status done = core_of(self).signals().attach(fd); !done) return raise_errno(done.error());
  Py_RETURN_NONE;
}

PyObject* unwatch_signals(PyObject* self, PyObject*) {
  core_of(self).signals().detach();
  Py_RETURN_NONE;
}

}  // namespace

void descriptor_watch::on_ready(std::uint32_t events) {
  // As asyncio: an error or a hang-up is for both sides to find out.
  const auto ready = [this](py::ref& handle, side which) {
    if (!handle) return;
    if (handles::is_cancelled(owner.handles(), handle.get())) {
      take_off(owner, *this, which);
    } else {
      owner.queue(Py_NewRef(handle.get()));
    }
  };
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) ready(reader, side::read);
  if ((events & ~std::uint32_t{EPOLLIN}) != 0) ready(writer, side::write);
}

PyMethodDef descriptor_methods[] = {
    {"_add_reader", py::as_method(add<side::read>), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"_add_writer", py::as_method(add<side::write>), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"_remove_reader", remove<side::read>, METH_O, nullptr},
    {"_remove_writer", remove<side::write>, METH_O, nullptr},
    {"add_reader", py::as_method(add_public<side::read>), METH_FASTCALL,
     "add_reader(fd, callback, *args): calls callback(*args) whenever fd is readable."},
    {"add_writer", py::as_method(add_public<side::write>), METH_FASTCALL,
     "add_writer(fd, callback, *args): calls callback(*args) whenever fd is writable."},
    {"remove_reader", remove_public<side::read>, METH_O, "Takes fd's reader off; True if there was one."},
    {"remove_writer", remove_public<side::write>, METH_O, "Takes fd's writer off; True if there was one."},
    {"_descriptors", descriptors, METH_NOARGS, nullptr},
    {"_watch_signals", watch_signals, METH_O, nullptr},
    {"_unwatch_signals", unwatch_signals, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga::loops
