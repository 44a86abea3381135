// SPDX-License-Identifier: MIT
// The mutex of a queue, and its conditions, which hardly any program looks at.
//
// `q.mutex` has to be the real lock: `with q.mutex: q.queue.clear()` keeps every put and get out. A native
// operation that holds the GIL throughout only has to see that the lock is free. One that runs Python code
// holds the mutex: while no lock object exists, by the flag `busy`; whoever then asks for the lock, or has to
// wait for it, makes it locked, and the holder finds it made when it is done and unlocks it.
#include "bindings/py/error.h"
#include "bindings/py/ref.h"
#include "bindings/types/condition.h"
#include "bindings/types/queue.h"

namespace triga {

bool mutex_is_locked(queue_object& queue) {
  const py::ref locked = py::ref::steal(queue.state->lock_locked(queue.mutex, nullptr));
  return locked.get() != Py_False;
}

PyObject* materialise_mutex(queue_object& queue) {
  if (queue.mutex != nullptr) return queue.mutex;
  py::ref lock = py::ref::steal(PyObject_CallNoArgs(queue.state->allocate_lock.get()));
  if (!lock) return nullptr;
  if (queue.mutex != nullptr) return queue.mutex;
  if (queue.busy) {
    const py::ref taken =
        py::ref::steal(PyObject_CallMethodNoArgs(lock.get(), queue.state->names.acquire.get()));
    if (!taken) return nullptr;
    queue.busy = false;
  }
  return queue.mutex = lock.release();
}

bool acquire_mutex(queue_object& queue) {
  if (queue.mutex == nullptr && !queue.busy) return queue.busy = true;
  // The reference is borrowed on purpose: the lock's acquire() may let go of the GIL, see parking.h. The
  // queue, which the caller's caller holds, keeps the lock: it is replaced only by way of make_foreign(),
  // which keeps the old one.
  PyObject* const lock = materialise_mutex(queue);
  if (lock == nullptr) return false;
  PyObject* const taken = PyObject_CallMethodNoArgs(lock, queue.state->names.acquire.get());
  Py_XDECREF(taken);
  return taken != nullptr;
}

void release_mutex(queue_object& queue) {
  if (queue.mutex == nullptr) {
    queue.busy = false;
    return;
  }
  py::error_aside aside;
  Py_XDECREF(PyObject_CallMethodNoArgs(queue.mutex, queue.state->names.release.get()));
  aside.put_back();
}

PyObject* materialise_condition(queue_object& queue, queue_event event) {
  PyObject*& condition = queue.conditions[event];
  if (condition != nullptr) return condition;
  PyObject* const lock = materialise_mutex(queue);
  if (lock == nullptr) return nullptr;
  PyObject* const made =
      new_shared_condition(queue.family->condition_class, lock, as_object(queue), queue.lists[event]);
  if (made == nullptr) return nullptr;
  if (condition != nullptr) {  // another thread was faster, as making it runs Python code
    Py_DECREF(made);
    return condition;
  }
  return condition = made;
}

bool make_foreign(queue_object& queue) {
  if (queue.foreign) return true;
  for (const queue_event event : {not_empty, not_full, all_tasks_done}) {
    if (materialise_condition(queue, event) == nullptr) return false;
  }
  queue.foreign = true;
  // Whoever waits natively has to start over with the program's own objects.
  for (sync::wait_list& list : queue.lists) list.notify_all();
  return true;
}

}  // namespace triga
