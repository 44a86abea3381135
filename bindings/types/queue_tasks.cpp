// SPDX-License-Identifier: MIT
// The size of a queue, the tasks that are not done, and the shutdown.
#include <array>

#include "bindings/py/arguments.h"
#include "bindings/py/ref.h"
#include "bindings/types/queue_operations.h"

namespace triga {

using py::park_outcome;

namespace {

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

}  // namespace

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
namespace {

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

}  // namespace

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

}  // namespace triga
