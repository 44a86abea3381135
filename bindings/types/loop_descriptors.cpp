// SPDX-License-Identifier: MIT
// LoopBase: readers and writers of descriptors, and the descriptor that signals are written to.
#include <cerrno>
#include <climits>
#include <utility>

#include "bindings/py/method.h"
#include "bindings/types/loop.h"
#include "bindings/types/socket_operation.h"

namespace triga::loops {
namespace {

enum class side { read, write };

py::ref& handle_of(descriptor_watch& watch, side which) noexcept {
  return which == side::read ? watch.reader : watch.writer;
}

constexpr std::uint32_t event_of(side which) noexcept { return which == side::read ? EPOLLIN : EPOLLOUT; }

std::uint32_t events_of(const descriptor_watch& watch) noexcept {
  const auto is_handle = [&](const py::ref& waiter) {
    return waiter && !watch.owner.is_operation(waiter.get());
  };
  const std::uint32_t awaited =
      (watch.reader ? std::uint32_t{EPOLLIN} : 0U) | (watch.writer ? std::uint32_t{EPOLLOUT} : 0U);
  if (is_handle(watch.reader) || is_handle(watch.writer)) return awaited;
  const std::uint32_t events = awaited | watch.kept;
  return events != 0 ? events | std::uint32_t{EPOLLET} : 0U;
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

bool cancel(core& loop, PyObject* handle) {
  if (loop.is_operation(handle)) {
    sockets::on_superseded(handle);
    return true;
  }
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

void forget_socket_of(descriptor_watch& watch) noexcept {
  watch.kept = 0;
  watch.socket.reset();
}

// Last of all, as the file may end by it and run Python code.
void forget_unused_file_of(descriptor_watch& watch) noexcept {
  if (!watch.reader && !watch.writer) watch.file.reset();
}

// Takes one side off. The handle it had, or null.
py::ref take_off(core& loop, descriptor_watch& watch, side which) {
  py::ref handle = std::move(handle_of(watch, which));
  if (handle && !refresh(loop, watch)) loop.poller().remove(watch.fd);  // closed before it was removed
  forget_unused_file_of(watch);
  return handle;
}

// The descriptor that `file` was added as. One that is closed already is found by the object, as selectors'
// _fileobj_lookup() does. -1: an exception.
int descriptor_of_added(core& loop, PyObject* file) {
  const int fd = descriptor_of(file);
  if (fd >= 0 || PyLong_Check(file) || PyErr_ExceptionMatches(PyExc_ValueError) == 0) return fd;
  for (int each = 0; static_cast<std::size_t>(each) < loop.watch_numbers(); ++each) {
    const descriptor_watch* const watch = loop.find_watch(each);
    if (watch == nullptr || watch->file.get() != file) continue;
    PyErr_Clear();
    return each;
  }
  return -1;
}

bool ensure_no_transport(PyObject* self, int fd) {
  return static_cast<bool>(py::ref::steal(PyObject_CallMethod(self, "_ensure_fd_no_transport", "i", fd)));
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
  const bool was_added = watch.reader || watch.writer;
  forget_socket_of(watch);
  py::ref old = std::exchange(handle_of(watch, Which), handle);
  if (const io::status done = refresh(loop, watch); !done) {
    handle_of(watch, Which) = std::move(old);
    return raise_errno(done.error());
  }
  const bool is_number = PyLong_Check(args[0]) != 0;
  py::ref before;  // ends last
  if (!is_number || !was_added)
    before = std::exchange(watch.file, is_number ? py::ref() : py::ref::borrow(args[0]));
  if (old && !cancel(loop, old.get())) return nullptr;
  return handle.release();
}

template <side Which>
PyObject* remove(PyObject* self, PyObject* file) {
  if (fields(self).closed != 0) Py_RETURN_FALSE;
  core& loop = core_of(self);
  const int fd = descriptor_of_added(loop, file);
  if (fd < 0) return nullptr;
  descriptor_watch* watch = loop.find_watch(fd);
  const py::ref handle = watch != nullptr ? take_off(loop, *watch, Which) : py::ref();
  if (!handle) Py_RETURN_FALSE;
  if (!cancel(loop, handle.get())) return nullptr;
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
    if (watch == nullptr || (!watch->reader && !watch->writer)) continue;
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
    if (owner.is_operation(handle.get())) {
      to_tell |= event_of(which);
    } else if (handles::is_cancelled(owner.handles(), handle.get())) {
      take_off(owner, *this, which);
    } else {
      owner.queue(Py_NewRef(handle.get()));
    }
  };
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) ready(reader, side::read);
  if ((events & ~std::uint32_t{EPOLLIN}) != 0) ready(writer, side::write);
  if (to_tell == 0 || posted) return;
  posted = true;  // behind what is queued, as handles are
  owner.loop().post(*this);
}

void descriptor_watch::run() {
  posted = false;
  const std::uint32_t told = std::exchange(to_tell, 0);
  for (const side which : {side::read, side::write}) {
    // Another operation that waits here since has taken its event out of to_tell.
    const py::ref waiter = handle_of(*this, which);
    if ((told & event_of(which)) == 0 || !waiter || !owner.is_operation(waiter.get())) continue;
    sockets::on_ready(waiter.get());
    if (PyErr_Occurred() != nullptr) return;
  }
}

bool core::arm(int fd, bool as_writer, PyObject* sock, PyObject* operation, bool certainly) {
  if (!check_open(self_)) return false;
  const side which = as_writer ? side::write : side::read;
  const py::ref reference =
      py::ref::steal(PyWeakref_NewRef(sock, nullptr));  // one object as long as it lives
  if (!reference) return false;
  descriptor_watch& watch = this->watch(fd);
  const bool kept = reference.get() == watch.socket.get() &&
                    poller().is_registered(fd, event_of(which) | EPOLLET, watch) && !certainly;
  if (!kept && !ensure_no_transport(self_, fd)) return false;
  watch.to_tell &= ~event_of(which);
  py::ref old = std::exchange(handle_of(watch, which), py::ref::borrow(operation));
  if (!kept) {
    watch.socket = reference;
    watch.kept |= event_of(which);
    if (const io::status done = poller().add(fd, events_of(watch), watch); !done) {
      handle_of(watch, which) = std::move(old);
      forget_socket_of(watch);
      raise_errno(done.error());
      return false;
    }
  }
  return !old || cancel(*this, old.get());
}

void core::disarm(int fd, bool as_writer, PyObject* operation) {
  descriptor_watch* watch = find_watch(fd);
  const side which = as_writer ? side::write : side::read;
  if (watch == nullptr || handle_of(*watch, which).get() != operation) return;
  const py::ref alive = std::move(handle_of(*watch, which));
  const bool level = watch->reader || watch->writer ? (events_of(*watch) & EPOLLET) == 0 : false;
  // A handle on the other side does not want to hear of this one for ever.
  if (level && !refresh(*this, *watch)) poller().remove(fd);
  forget_unused_file_of(*watch);
}

void core::forget_socket(int fd) {
  descriptor_watch* watch = find_watch(fd);
  if (watch == nullptr || !watch->socket) return;
  forget_socket_of(*watch);
  if (poller().is_registered(fd, 0, *watch) && !refresh(*this, *watch)) poller().remove(fd);
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
