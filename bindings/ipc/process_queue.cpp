// SPDX-License-Identifier: MIT
#include "bindings/ipc/process_queue.h"

#include <cerrno>

#include "bindings/py/errors.h"
#include "bindings/py/gil.h"
#include "bindings/py/timeout.h"

namespace triga::ipc {
namespace {

namespace pb = pybind11;
using proc::message_queue;
using status = message_queue::status;
using patience = message_queue::patience;

[[noreturn]] void raise(const pb::handle& type, const char* text = nullptr) {
  if (text != nullptr) {
    PyErr_SetString(type.ptr(), text);
  } else {
    PyErr_SetNone(type.ptr());
  }
  throw pb::error_already_set();
}

[[noreturn]] void raise_damaged() {
  raise(PyExc_OSError,
        "the shared memory of this queue is damaged: a process that has it wrote over it; make a new queue");
}

[[noreturn]] void raise_no_memory(int error, std::size_t bytes) {
  errno = error;
  const std::string what = "no shared memory for a message of " + std::to_string(bytes) +
                           " bytes; free some, or raise the limit of the container or of tmpfs";
  PyErr_SetFromErrnoWithFilename(PyExc_OSError, what.c_str());
  throw pb::error_already_set();
}

void run_signal_handlers() {
  if (PyErr_CheckSignals() != 0) throw pb::error_already_set();
}

// Runs `call` with the patience that waits, without the GIL, if it was busy at once.
template <class Call>
status without_haste(Call call) {
  const status first = call(patience::none);
  if (first != status::busy) return first;
  const py::gil_release released;  // the queue is shared memory and is kept alive by the caller's argument
  return call(patience::any);
}

template <class Wait>
status waited(Wait wait) {
  const py::gil_release released;  // as above
  return wait();
}

// Puts a message that goes through the ring whole.
status put_inline(message_queue& queue, const outgoing& message) {
  const proc::content what = message.content();
  return without_haste(
      [&](patience how) { return queue.put_small(what.body, message.sequence(), message.tag(), how); });
}

// Puts any message.
status put_staged(message_queue& queue, const outgoing& message) {
  const std::size_t bytes = message.size();
  if (!queue.has_space(bytes > queue.inline_limit() ? bytes : 0)) return status::no_space;
  const proc::content what = message.content();
  auto staged = [&] {
    const py::gil_release released;  // `message` keeps what it refers to alive
    return queue.stage(what, message.sequence(), message.tag());
  }();
  if (!staged) raise_no_memory(staged.error(), bytes);
  const status ended = without_haste([&](patience how) { return queue.put(*staged, how); });
  if (ended != status::done) queue.discard(*staged);
  return ended;
}

status put_once(message_queue& queue, const outgoing& message) {
  const proc::content what = message.content();
  const bool small = what.buffers.empty() && what.body.size() <= message_queue::most_pieces &&
                     message.size() <= queue.inline_limit();
  return small ? put_inline(queue, message) : put_staged(queue, message);
}

// Waits until the queue holds fewer messages than it may, or raises Full.
void await_room(open_queue& queue, bool block, time_point deadline) {
  message_queue& core = queue.side->queue();
  while (core.full()) {
    core.forget_the_gone();
    if (!core.full()) return;
    if (!block) raise(queue.full);
    const status ended = waited([&] { return core.await_room(deadline); });
    if (ended == status::interrupted) run_signal_handlers();
    if (ended == status::timed_out && core.full()) raise(queue.full);
    if (ended == status::hung_up) py::throw_os_error(EPIPE);
  }
}

void keep(PyObject* self, sender& side, const outgoing& message) {
  side.keep(message);
  if (side.has_feeder()) return;
  const py::ref started = py::ref::steal(PyObject_CallMethod(self, "_start_feeder", nullptr));
  if (!started) throw pb::error_already_set();
}

time_point deadline_of(bool block, PyObject* timeout) {
  time_point deadline = never;
  if (block && timeout != Py_None && !py::deadline_in(timeout, deadline)) throw pb::error_already_set();
  return deadline;
}

void send(PyObject* self, open_queue& queue, const outgoing& message, bool block, time_point deadline) {
  const std::shared_ptr<sender> side = queue.side;
  for (;;) {
    const status ended = side->has_kept() ? status::no_space : put_once(side->queue(), message);
    switch (ended) {
      case status::done:
        return;
      case status::interrupted:
        run_signal_handlers();
        break;
      case status::no_space:
        return keep(self, *side, message);
      case status::full:
        await_room(queue, block, deadline);
        break;
      default:
        raise_damaged();
    }
  }
}

// Puts a message, waiting where the shared memory is full: there is no feeder.
void send_simple(open_queue& queue, const outgoing& message) {
  const std::shared_ptr<sender> side = queue.side;
  for (;;) {
    status ended = put_once(side->queue(), message);
    if (ended == status::done) return;
    if (ended == status::no_space || ended == status::full) {
      const std::size_t bytes = message.size() > side->queue().inline_limit() ? message.size() : 0;
      ended = waited([&] { return side->queue().await_space(never, bytes); });
    }
    if (ended == status::interrupted) run_signal_handlers();
    if (ended == status::hung_up) py::throw_os_error(EPIPE);
    if (ended == status::corrupt) raise_damaged();
  }
}

// A task that cannot be pickled is reported as by the standard library's feeder, and is not put.
void report(PyObject* self, PyObject* object, const pb::error_already_set& error) {
  const pb::object& value = error.value();
  if (error.trace()) PyException_SetTraceback(value.ptr(), error.trace().ptr());
  const py::ref done = py::ref::steal(PyObject_CallMethod(self, "_put_failed", "OO", value.ptr(), object));
  if (!done) throw pb::error_already_set();
}

// Takes the first message, waiting for one if `block`.
proc::message taken(open_queue& queue, bool block, time_point deadline) {
  const std::shared_ptr<sender> side = queue.side;
  message_queue& core = side->queue();
  proc::message message;
  for (bool late = false;;) {
    switch (without_haste([&](patience how) { return core.take(message, how); })) {
      case status::done:
        return message;
      case status::interrupted:
        run_signal_handlers();
        continue;
      case status::empty:
        break;
      default:
        raise_damaged();
    }
    if (!block || late) raise(queue.empty);
    switch (waited([&] { return core.await_item(deadline); })) {
      case status::timed_out:
        late = true;
        break;
      case status::interrupted:
        if (PyErr_CheckSignals() != 0) {
          core.pass_on();
          throw pb::error_already_set();
        }
        break;
      case status::hung_up:
        raise(PyExc_EOFError);
      default:
        break;
    }
  }
}

}  // namespace

PyObject* put(PyObject* self, PyObject* object, bool block, PyObject* timeout) try {
  open_queue& queue = *open_part(self);
  const time_point deadline = deadline_of(block, timeout);
  queue.used = true;
  await_room(queue, block, deadline);
  std::optional<outgoing> message;
  try {
    message.emplace(object, queue.encode);
  } catch (pb::error_already_set& error) {
    if (!error.matches(PyExc_Exception)) throw;
    report(self, object, error);
    Py_RETURN_NONE;
  }
  send(self, queue, *message, block, deadline);
  Py_RETURN_NONE;
} catch (pb::error_already_set& error) {
  error.restore();
  return nullptr;
} catch (const std::bad_alloc&) {
  return PyErr_NoMemory();
}

PyObject* get(open_queue& queue, bool block, PyObject* timeout) try {
  proc::message message = taken(queue, block, deadline_of(block, timeout));
  return incoming(message, queue.decode).release().ptr();
} catch (pb::error_already_set& error) {
  error.restore();
  return nullptr;
} catch (const std::bad_alloc&) {
  return PyErr_NoMemory();
}

PyObject* put_simple(open_queue& queue, PyObject* object) try {
  send_simple(queue, outgoing(object, queue.encode));
  Py_RETURN_NONE;
} catch (pb::error_already_set& error) {
  error.restore();
  return nullptr;
} catch (const std::bad_alloc&) {
  return PyErr_NoMemory();
}

void put_pickle(open_queue& queue, const pb::bytes& pickle) {
  const std::string_view bytes = pickle;
  send_simple(queue, outgoing(std::as_bytes(std::span(bytes))));
}

pb::object take_pickle(open_queue& queue, const pb::object& dumps) {
  proc::message message = taken(queue, true, never);
  const bool whole = form{message.tag} == form::pickle && message.buffers.empty();
  if (!whole) {
    // multiprocessing's pickler gives a memoryview.
    auto pickle =
        pb::reinterpret_steal<pb::object>(PyBytes_FromObject(dumps(incoming(message, queue.decode)).ptr()));
    if (!pickle) throw pb::error_already_set();
    return pickle;
  }
  message.tag = static_cast<std::uint16_t>(form::bytes);
  return incoming(message, queue.decode);
}

}  // namespace triga::ipc
