// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>

#include "bindings/py/parking.h"
#include "bindings/types/queue.h"
#include "runtime/trace/counters.h"

// What put, get and the rest of a queue's public methods have in common.
//
// Each has a short way for a queue whose class overrides nothing and whose mutex is free, which runs from
// beginning to end under the GIL, and a long way that holds the mutex, waits, and calls what a subclass has
// overridden.
namespace triga {

inline void count_queue_operation() { trace::count(trace::counter::queue_operations); }

// block and timeout of a call, with the standard's defaults.
struct patience {
  PyObject* block = Py_True;
  PyObject* timeout = Py_None;
};

// The mutex, held. Released by hand, not by a destructor: see parking.h.
enum class held { yes, no };

inline PyObject* leave(queue_object& queue, held mutex, PyObject* outcome = nullptr) {
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
inline const queue_verdict* ready(queue_object& queue) {
  if (queue.maxsize == nullptr) {
    PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute 'mutex'",
                 Py_TYPE(as_object(queue))->tp_name);
    return nullptr;
  }
  return verdict_of(queue);
}

inline bool is_foreign(const queue_object& queue, const queue_verdict& verdict) {
  return queue.foreign || !verdict.own_attributes;
}

// The class overrides nothing that a put or get runs, the container is its own, and nobody holds the mutex.
inline bool is_plain(const queue_object& queue, const queue_verdict& verdict) {
  const bool matches = verdict.put == queue_hook::fifo ? queue.container == queue_container::deque
                                                       : queue.container == queue_container::list;
  return matches && verdict.put == verdict.get && verdict.put <= queue_hook::lifo &&
         verdict.size != queue_hook::python && verdict.own_attributes && !queue.foreign && queue.limit >= 0;
}

// `timeout` needs no more than that it is not negative, and is not.
inline bool is_harmless_timeout(PyObject* timeout) {
  return timeout == Py_None || (PyFloat_CheckExact(timeout) && PyFloat_AS_DOUBLE(timeout) >= 0);
}

// queue_waiting.cpp

// Lets others in, waits for `event`, and holds the mutex again: as the wait() of a Condition. With `failed`,
// `mutex` tells whether it is held.
py::park_outcome wait_for(queue_object& queue, queue_event event, time_point deadline, held& mutex);

// 1: there is room; 0: full; -1: exception.
int has_room(queue_object& queue, const queue_verdict& verdict);

// maxsize > 0
int is_bounded(queue_object& queue);

// What block and timeout mean: the deadline, after the standard's checks. False with an exception.
bool read_patience(const patience& asked, bool& blocks, time_point& deadline);

// Waits for `event` at most until the deadline, which is worked out before the first wait only: a timeout
// that no wait needs may be any non-negative number. False with an exception (`on_timeout` of the queue's
// module if time is up), or without one if became_foreign().
bool await(queue_object& queue, queue_event event, const patience& asked, bool blocks, time_point& deadline,
           const char* on_timeout, held& mutex);

// True where a wait was given up because the program has replaced the mutex or a condition meanwhile: the
// operation starts over, on those.
inline bool became_foreign(const queue_object& queue) { return queue.foreign && PyErr_Occurred() == nullptr; }

// Raises ShutDown if the queue has been shut down.
bool refuse_if_shut_down(queue_object& queue);

// The methods, each in the file of its purpose: queue_put.cpp, queue_get.cpp, queue_tasks.cpp.
PyObject* queue_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords);
PyObject* queue_put_nowait(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords);
PyObject* queue_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords);
PyObject* queue_get_nowait(PyObject* self, PyObject*);
PyObject* queue_qsize(PyObject* self, PyObject*);
PyObject* queue_empty(PyObject* self, PyObject*);
PyObject* queue_full(PyObject* self, PyObject*);
PyObject* queue_task_done(PyObject* self, PyObject*);
PyObject* queue_join(PyObject* self, PyObject*);
#if PY_VERSION_HEX >= 0x030D0000
PyObject* queue_shutdown(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords);
#endif

}  // namespace triga
