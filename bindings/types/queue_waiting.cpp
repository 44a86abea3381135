// SPDX-License-Identifier: MIT
// How an operation of a queue waits for its turn, and what it waits for.
#include "bindings/py/ref.h"
#include "bindings/py/timeout.h"
#include "bindings/types/queue_operations.h"

namespace triga {

using py::park_outcome;

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

int is_bounded(queue_object& queue) {
  if (queue.limit != ask_python) return queue.limit > 0 ? 1 : 0;
  const py::ref zero = py::ref::steal(PyLong_FromLong(0));
  return zero ? PyObject_RichCompareBool(queue.maxsize, zero.get(), Py_GT) : -1;
}

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

bool refuse_if_shut_down(queue_object& queue) {
  if (queue.shut_down) raise_from_family(*queue.family, "ShutDown");
  return queue.shut_down;
}

}  // namespace triga
