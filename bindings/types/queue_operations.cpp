// SPDX-License-Identifier: MIT
// put, get and the rest of a queue's public methods.
//
// Each has a short way for a queue whose class overrides nothing and whose mutex is free, which runs from
// beginning to end under the GIL, and a long way that holds the mutex, waits, and calls what a subclass has
// overridden.
#include <algorithm>
#include <array>

#include "bindings/py/arguments.h"
#include "bindings/py/parking.h"
#include "bindings/py/ref.h"
#include "bindings/py/timeout.h"
#include "bindings/types/queue.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

using py::park_outcome;

void count_operation() { trace::count(trace::counter::queue_operations); }

// block and timeout of a call, with the standard's defaults.
struct patience {
  PyObject* block = Py_True;
  PyObject* timeout = Py_None;
};

// The mutex, held. Released by hand, not by a destructor: see parking.h.
enum class held { yes, no };

// Lets others in, waits for `event`, and holds the mutex again: as the wait() of a Condition. With `failed`,
// `mutex` tells whether it is held.
park_outcome wait_for(queue_object& queue, queue_event event, time_point deadline, held& mutex) {
  park_outcome outcome;
  {
    py::parking place(queue.lists[event]);
    release_mutex(queue);
    mutex = held::no;
    outcome = place.wait(deadline);
  }
  if (!acquire_mutex(queue)) {
    if (outcome == park_outcome::notified) queue.lists[event].notify(1);
    return park_outcome::failed;
  }
  mutex = held::yes;
  return outcome;
}

PyObject* leave(queue_object& queue, held mutex, PyObject* outcome = nullptr) {
  if (mutex == held::yes) release_mutex(queue);
  return outcome;
}

// The standard library's own method over the objects that the program put in place of the mutex or a
// condition.
template <std::size_t Count>
PyObject* run_stock(queue_object& queue, const char* method, const std::array<PyObject*, Count>& arguments) {
  PyObject* const function = PyObject_GetAttrString(queue.family->stock, method);
  if (function == nullptr) return nullptr;
  std::array<PyObject*, Count + 1> with_self{as_object(queue)};
  std::copy(arguments.begin(), arguments.end(), with_self.begin() + 1);
  PyObject* const outcome = PyObject_Vectorcall(function, with_self.data(), with_self.size(), nullptr);
  Py_DECREF(function);  // by hand: see parking.h
  return outcome;
}

// nullptr with `AttributeError` for a queue whose __init__() was not called, and with other exceptions.
const queue_verdict* ready(queue_object& queue) {
  if (queue.maxsize == nullptr) {
    PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute 'mutex'",
                 Py_TYPE(as_object(queue))->tp_name);
    return nullptr;
  }
  return verdict_of(queue);
}

bool is_foreign(const queue_object& queue, const queue_verdict& verdict) {
  return queue.foreign || !verdict.own_attributes;
}

// The class overrides nothing that a put or get runs, the container is its own, and nobody holds the mutex.
bool is_plain(const queue_object& queue, const queue_verdict& verdict) {
  const bool matches = verdict.put == queue_hook::fifo ? queue.container == queue_container::deque
                                                       : queue.container == queue_container::list;
  return matches && verdict.put == verdict.get && verdict.put <= queue_hook::lifo &&
         verdict.size != queue_hook::python && verdict.own_attributes && !queue.foreign && queue.limit >= 0;
}

// `timeout` needs no more than that it is not negative, and is not.
bool is_harmless(PyObject* timeout) {
  return timeout == Py_None || (PyFloat_CheckExact(timeout) && PyFloat_AS_DOUBLE(timeout) >= 0);
}

// ---- put

// 1: there is room; 0: full; -1: exception.
int has_room(queue_object& queue, const queue_verdict& verdict) {
  if (queue.limit == 0) return 1;
  const Py_ssize_t size = size_of(queue, verdict);
  if (size < 0) return -1;
  if (queue.limit != ask_python) return size < queue.limit ? 1 : 0;
  const py::ref number = py::ref::steal(PyLong_FromSsize_t(size));
  if (!number) return -1;
  const int full = PyObject_RichCompareBool(number.get(), queue.maxsize, Py_GE);
  return full < 0 ? -1 : 1 - full;
}

// maxsize > 0
int is_bounded(queue_object& queue) {
  if (queue.limit != ask_python) return queue.limit > 0 ? 1 : 0;
  const py::ref zero = py::ref::steal(PyLong_FromLong(0));
  return zero ? PyObject_RichCompareBool(queue.maxsize, zero.get(), Py_GT) : -1;
}

// What block and timeout mean: the deadline, after the standard's checks. False with an exception.
bool read_patience(const patience& asked, bool& blocks, time_point& deadline) {
  const int block = PyObject_IsTrue(asked.block);
  if (block < 0) return false;
  blocks = block != 0;
  deadline = never;
  if (!blocks || asked.timeout == Py_None) return true;
  const int negative = py::is_negative(asked.timeout);
  if (negative > 0) PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
  return negative == 0;
}

// Waits for `event` at most until the deadline, which is worked out before the first wait only: a timeout
// that no wait needs may be any non-negative number. False with an exception (`on_timeout` of the queue's
// module if time is up), or without one if became_foreign().
bool await(queue_object& queue, queue_event event, const patience& asked, bool blocks, time_point& deadline,
           const char* on_timeout, held& mutex) {
  if (!blocks) return raise_from_family(*queue.family, on_timeout) != nullptr;
  if (asked.timeout != Py_None && deadline == never && !py::deadline_in(asked.timeout, deadline))
    return false;
  if (deadline != never && monotonic_clock::now() >= deadline) {
    return raise_from_family(*queue.family, on_timeout) != nullptr;
  }
  return wait_for(queue, event, deadline, mutex) != park_outcome::failed && !queue.foreign;
}

// True where a wait was given up because the program has replaced the mutex or a condition meanwhile: the
// operation starts over, on those.
bool became_foreign(const queue_object& queue) { return queue.foreign && PyErr_Occurred() == nullptr; }

bool refuse_if_shut_down(queue_object& queue) {
  if (queue.shut_down) raise_from_family(*queue.family, "ShutDown");
  return queue.shut_down;
}

// Waits until there is room. False as await().
bool await_room(queue_object& queue, const patience& asked, held& mutex) {
  const int bounded = is_bounded(queue);
  if (bounded <= 0) return bounded == 0;
  bool blocks = false;
  time_point deadline = never;
  if (!read_patience(asked, blocks, deadline)) return false;
  for (;;) {
    const queue_verdict* const verdict = verdict_of(queue);
    const int room = verdict != nullptr ? has_room(queue, *verdict) : -1;
    if (room != 0) return room > 0;
    if (!await(queue, not_full, asked, blocks, deadline, "Full", mutex)) return false;
    if (refuse_if_shut_down(queue)) return false;
  }
}

PyObject* put_holding_mutex(queue_object& queue, PyObject* item, const patience& asked) {
  const queue_verdict* verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) {
    return run_stock(queue, "put", std::array{item, asked.block, asked.timeout});
  }
  if (!acquire_mutex(queue)) return nullptr;
  held mutex = held::yes;
  if (refuse_if_shut_down(queue) || !await_room(queue, asked, mutex)) {
    leave(queue, mutex);
    return became_foreign(queue) ? put_holding_mutex(queue, item, asked) : nullptr;
  }
  verdict = verdict_of(queue);
  if (verdict == nullptr || !put_item(queue, *verdict, item)) return leave(queue, mutex);
  ++queue.unfinished;
  queue.lists[not_empty].notify();
  count_operation();
  return leave(queue, mutex, Py_NewRef(Py_None));
}

PyObject* put(queue_object& queue, PyObject* item, const patience& asked) {
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_plain(queue, *verdict) && mutex_is_free(queue) && !queue.shut_down &&
      (queue.limit == 0 || (plain_size(queue) < queue.limit && is_harmless(asked.timeout)))) {
    if (!append_item(queue, item)) return nullptr;
    ++queue.unfinished;
    queue.lists[not_empty].notify();
    count_operation();
    Py_RETURN_NONE;
  }
  return put_holding_mutex(queue, item, asked);
}

PyObject* queue_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  if (count == 1 && keywords == nullptr) return put(queue, arguments[0], {});
  const auto& names = queue.state->names;
  const std::array order{names.item.get(), names.block.get(), names.timeout.get()};
  std::array<PyObject*, 3> values{nullptr, Py_True, Py_None};
  if (!py::sort_arguments("Queue.put", order, 1, arguments, count, keywords, values)) return nullptr;
  return put(queue, values[0], {values[1], values[2]});
}

PyObject* queue_put_nowait(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  const auto& names = queue.state->names;
  const std::array order{names.item.get()};
  std::array<PyObject*, 1> values{nullptr};
  if (!py::sort_arguments("Queue.put_nowait", order, 1, arguments, count, keywords, values)) return nullptr;
  const queue_verdict* const verdict = verdict_of(queue);
  if (verdict == nullptr) return nullptr;
  if (verdict->own_put) return put(queue, values[0], {Py_False, Py_None});
  const py::ref method = py::ref::steal(PyObject_GetAttr(self, names.put.get()));
  const py::ref block_only = py::ref::steal(PyTuple_Pack(1, names.block.get()));
  if (!method || !block_only) return nullptr;
  PyObject* const call[] = {values[0], Py_False};
  return PyObject_Vectorcall(method.get(), call, 1, block_only.get());
}

// ---- get

bool refuse_if_drained(queue_object& queue, Py_ssize_t size) {
  return size == 0 && refuse_if_shut_down(queue);
}

// Waits until there is an item. False as await().
bool await_item(queue_object& queue, const patience& asked, held& mutex) {
  bool blocks = false;
  bool read = false;
  time_point deadline = never;
  for (;;) {
    const queue_verdict* const verdict = verdict_of(queue);
    const Py_ssize_t size = verdict != nullptr ? size_of(queue, *verdict) : -1;
    if (size < 0 || refuse_if_drained(queue, size)) return false;
    if (!read && !read_patience(asked, blocks, deadline)) return false;
    read = true;
    if (size > 0) return true;
    if (!await(queue, not_empty, asked, blocks, deadline, "Empty", mutex)) return false;
  }
}

PyObject* get_holding_mutex(queue_object& queue, const patience& asked) {
  const queue_verdict* verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) return run_stock(queue, "get", std::array{asked.block, asked.timeout});
  if (!acquire_mutex(queue)) return nullptr;
  held mutex = held::yes;
  if (!await_item(queue, asked, mutex)) {
    leave(queue, mutex);
    return became_foreign(queue) ? get_holding_mutex(queue, asked) : nullptr;
  }
  verdict = verdict_of(queue);
  PyObject* const item = verdict != nullptr ? get_item(queue, *verdict) : nullptr;
  if (item != nullptr) {
    queue.lists[not_full].notify();
    count_operation();
  }
  return leave(queue, mutex, item);
}

PyObject* get(queue_object& queue, const patience& asked) {
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_plain(queue, *verdict) && mutex_is_free(queue) && plain_size(queue) > 0 &&
      is_harmless(asked.timeout)) {
    PyObject* const item = verdict->get == queue_hook::fifo ? take_first(queue) : take_last(queue);
    if (item == nullptr) return nullptr;
    queue.lists[not_full].notify();
    count_operation();
    return item;
  }
  return get_holding_mutex(queue, asked);
}

PyObject* queue_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  if (count == 0 && keywords == nullptr) return get(queue, {});
  const auto& names = queue.state->names;
  const std::array order{names.block.get(), names.timeout.get()};
  std::array<PyObject*, 2> values{Py_True, Py_None};
  if (!py::sort_arguments("Queue.get", order, 0, arguments, count, keywords, values)) return nullptr;
  return get(queue, {values[0], values[1]});
}

PyObject* queue_get_nowait(PyObject* self, PyObject*) {
  queue_object& queue = as_queue(self);
  const queue_verdict* const verdict = verdict_of(queue);
  if (verdict == nullptr) return nullptr;
  if (verdict->own_get) return get(queue, {Py_False, Py_None});
  const auto& names = queue.state->names;
  const py::ref method = py::ref::steal(PyObject_GetAttr(self, names.get.get()));
  const py::ref block_only = py::ref::steal(PyTuple_Pack(1, names.block.get()));
  if (!method || !block_only) return nullptr;
  PyObject* const call[] = {Py_False};
  return PyObject_Vectorcall(method.get(), call, 0, block_only.get());
}

// ---- size, tasks, shutdown

// The size, seen while nobody holds the mutex. -1 with an exception.
Py_ssize_t settled_size(queue_object& queue) {
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return -1;
  if (is_plain(queue, *verdict) && mutex_is_free(queue)) return plain_size(queue);
  if (is_foreign(queue, *verdict)) {
    const py::ref size = py::ref::steal(run_stock(queue, "qsize", std::array<PyObject*, 0>{}));
    return size ? PyNumber_AsSsize_t(size.get(), PyExc_OverflowError) : -1;
  }
  if (!acquire_mutex(queue)) return -1;
  const queue_verdict* const current = verdict_of(queue);
  const Py_ssize_t size = current != nullptr ? size_of(queue, *current) : -1;
  release_mutex(queue);
  return size;
}

PyObject* queue_qsize(PyObject* self, PyObject*) {
  const Py_ssize_t size = settled_size(as_queue(self));
  return size < 0 ? nullptr : PyLong_FromSsize_t(size);
}

PyObject* queue_empty(PyObject* self, PyObject*) {
  const Py_ssize_t size = settled_size(as_queue(self));
  return size < 0 ? nullptr : PyBool_FromLong(size == 0);
}

PyObject* queue_full(PyObject* self, PyObject*) {
  queue_object& queue = as_queue(self);
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) return run_stock(queue, "full", std::array<PyObject*, 0>{});
  if (!acquire_mutex(queue)) return nullptr;
  int full = is_bounded(queue);
  if (full > 0) {
    const queue_verdict* const current = verdict_of(queue);
    const int room = current != nullptr ? has_room(queue, *current) : -1;
    full = room < 0 ? -1 : 1 - room;
  }
  release_mutex(queue);
  return full < 0 ? nullptr : PyBool_FromLong(full);
}

PyObject* queue_task_done(PyObject* self, PyObject*) {
  queue_object& queue = as_queue(self);
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) return run_stock(queue, "task_done", std::array<PyObject*, 0>{});
  const bool is_free = mutex_is_free(queue);
  if (!is_free && !acquire_mutex(queue)) return nullptr;
  const bool too_often = queue.unfinished <= 0;
  if (!too_often && --queue.unfinished == 0) queue.lists[all_tasks_done].notify_all();
  if (!is_free) release_mutex(queue);
  if (!too_often) Py_RETURN_NONE;
  PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
  return nullptr;
}

PyObject* queue_join(PyObject* self, PyObject*) {
  queue_object& queue = as_queue(self);
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) return run_stock(queue, "join", std::array<PyObject*, 0>{});
  if (!acquire_mutex(queue)) return nullptr;
  held mutex = held::yes;
  while (queue.unfinished != 0) {
    if (wait_for(queue, all_tasks_done, never, mutex) == park_outcome::failed) return leave(queue, mutex);
    if (queue.foreign) {
      leave(queue, mutex);
      return queue_join(self, nullptr);
    }
  }
  return leave(queue, mutex, Py_NewRef(Py_None));
}

#if PY_VERSION_HEX >= 0x030D0000
// Takes every item out, and marks a task as done for each. Holds the mutex. False with an exception.
bool drain(queue_object& queue) {
  for (;;) {
    const queue_verdict* verdict = verdict_of(queue);
    const Py_ssize_t size = verdict != nullptr ? size_of(queue, *verdict) : -1;
    if (size <= 0) return size == 0;
    verdict = verdict_of(queue);
    PyObject* const item = verdict != nullptr ? get_item(queue, *verdict) : nullptr;
    if (item == nullptr) return false;
    if (queue.unfinished > 0) --queue.unfinished;
    Py_DECREF(item);
  }
}

PyObject* queue_shutdown(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  const std::array order{queue.state->names.immediate.get()};
  std::array<PyObject*, 1> values{Py_False};
  if (!py::sort_arguments("Queue.shutdown", order, 0, arguments, count, keywords, values)) return nullptr;
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) return run_stock(queue, "shutdown", values);
  if (!acquire_mutex(queue)) return nullptr;
  queue.shut_down = true;
  const int immediate = PyObject_IsTrue(values[0]);
  if (immediate < 0 || (immediate > 0 && !drain(queue))) return leave(queue, held::yes);
  if (immediate > 0) queue.lists[all_tasks_done].notify_all();
  queue.lists[not_empty].notify_all();
  queue.lists[not_full].notify_all();
  return leave(queue, held::yes, Py_NewRef(Py_None));
}
#endif

}  // namespace

#define TRIGA_KEYWORDS(function) reinterpret_cast<PyCFunction>(function), METH_FASTCALL | METH_KEYWORDS

PyMethodDef queue_methods[] = {
    {"put", TRIGA_KEYWORDS(queue_put),
     "put($self, /, item, block=True, timeout=None)\n--\n\nPut an item into the queue.\n\n"
     "Blocks while the queue is full if block is true, at most timeout seconds if timeout is not None; "
     "raises Full\n"
     "where no slot became free, ShutDown (3.13 and later) if the queue has been shut down."},
    {"get", TRIGA_KEYWORDS(queue_get),
     "get($self, /, block=True, timeout=None)\n--\n\nRemove and return an item from the queue.\n\n"
     "Blocks while the queue is empty if block is true, at most timeout seconds if timeout is not None; "
     "raises Empty\n"
     "where no item came, ShutDown (3.13 and later) if the queue has been shut down and is empty."},
    {"put_nowait", TRIGA_KEYWORDS(queue_put_nowait),
     "put_nowait($self, /, item)\n--\n\nPut an item into the queue without blocking: put(item, "
     "block=False)."},
    {"get_nowait", queue_get_nowait, METH_NOARGS,
     "get_nowait($self, /)\n--\n\nRemove and return an item from the queue without blocking: "
     "get(block=False)."},
    {"qsize", queue_qsize, METH_NOARGS,
     "qsize($self, /)\n--\n\nReturn the approximate size of the queue (not reliable!)."},
    {"empty", queue_empty, METH_NOARGS,
     "empty($self, /)\n--\n\nReturn True if the queue is empty, False otherwise (not reliable!)."},
    {"full", queue_full, METH_NOARGS,
     "full($self, /)\n--\n\nReturn True if the queue is full, False otherwise (not reliable!)."},
    {"task_done", queue_task_done, METH_NOARGS,
     "task_done($self, /)\n--\n\nIndicate that a formerly enqueued task is complete.\n\n"
     "Raises ValueError if called more times than there were items placed in the queue."},
    {"join", queue_join, METH_NOARGS,
     "join($self, /)\n--\n\nBlocks until all items in the Queue have been gotten and processed."},
#if PY_VERSION_HEX >= 0x030D0000
    {"shutdown", TRIGA_KEYWORDS(queue_shutdown),
     "shutdown($self, /, immediate=False)\n--\n\nShut-down the queue, making queue gets and puts raise "
     "ShutDown.\n\n"
     "Gets raise only once the queue is empty, unless immediate is true: then the queue is drained, and a "
     "task is\n"
     "marked as done for each item. All blocked callers of put() and get() are unblocked."},
#endif
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga
