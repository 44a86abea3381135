// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstdint>

#include "bindings/types/class_family.h"
#include "bindings/types/queue_state.h"
#include "runtime/base/clock.h"
#include "runtime/sync/wait_list.h"

namespace triga {

enum class queue_container : std::uint8_t { deque, list, other };

// queue.Queue, LifoQueue and PriorityQueue; the classes differ in their hooks (_init, _qsize, _put, _get)
// only.
//
// All members are guarded by the GIL. A native operation on a plain queue does not let go of the GIL from its
// first look to its last change, so it needs no lock, only the certainty that nobody holds the queue's mutex.
// Where an operation has to run Python code (a subclass's hook, a comparison), it holds the mutex across
// that: see queue_mutex.cpp.
struct queue_object {
  PyObject_HEAD queue_state* state;  // of the module; the type keeps the module alive
  class_family* family;
  PyObject* items;    // `queue`
  PyObject* maxsize;  // as the program gave it
  Py_ssize_t limit;   // maxsize as a number of items; 0: none; ask_python: maxsize is no int or float
  Py_ssize_t unfinished;
  PyObject* mutex;           // a _thread.lock, made when somebody asks for it or has to wait for it
  PyObject* conditions[3];   // not_empty, not_full, all_tasks_done: made when somebody asks for them
  sync::wait_list lists[3];  // who waits for what, native operations and the conditions' wait() alike
  queue_container container;
  bool busy;  // the mutex is held and has not been made yet
  bool shut_down;
  bool instance_hooks;  // a hook was assigned on the instance
  bool foreign;         // the mutex or a condition was replaced: the standard algorithm runs on the program's
};

enum queue_event : std::uint8_t { not_empty = 0, not_full = 1, all_tasks_done = 2 };

inline constexpr Py_ssize_t ask_python = -1;

inline queue_object& as_queue(PyObject* self) noexcept { return *reinterpret_cast<queue_object*>(self); }
inline PyObject* as_object(queue_object& queue) noexcept { return reinterpret_cast<PyObject*>(&queue); }

// queue_verdict.cpp: what the queue's class overrides. `nullptr` with an exception. Good until Python code
// runs next: the place in the table may go to another class then.
const queue_verdict* look_up_verdict(queue_object& queue);

inline const queue_verdict* verdict_of(queue_object& queue) {
  const unsigned version = Py_TYPE(as_object(queue))->tp_version_tag;
  const queue_verdict& cached = queue.state->verdicts[version % 64];
  return version != 0 && cached.version == version && !queue.instance_hooks ? &cached
                                                                            : look_up_verdict(queue);
}

// queue_mutex.cpp
bool mutex_is_locked(queue_object& queue);
inline bool mutex_is_free(queue_object& queue) {
  return !queue.busy && (queue.mutex == nullptr || !mutex_is_locked(queue));
}
bool acquire_mutex(queue_object& queue);           // false with an exception; may let go of the GIL
void release_mutex(queue_object& queue);           // keeps an exception that is set
PyObject* materialise_mutex(queue_object& queue);  // borrowed
PyObject* materialise_condition(queue_object& queue, queue_event event);  // borrowed
bool make_foreign(queue_object& queue);

// queue_items.cpp: the hooks. A negative size, false or nullptr comes with an exception.
void set_items(queue_object& queue, PyObject* items);  // steals
bool init_items(queue_object& queue, queue_hook kind);
Py_ssize_t size_of(queue_object& queue, const queue_verdict& verdict);
bool put_item(queue_object& queue, const queue_verdict& verdict, PyObject* item);
PyObject* get_item(queue_object& queue, const queue_verdict& verdict);
bool append_item(queue_object& queue, PyObject* item);
PyObject* take_first(queue_object& queue);
PyObject* take_last(queue_object& queue);
bool push_heap(queue_object& queue, PyObject* item);
PyObject* pop_heap(queue_object& queue);

// The number of items in a deque or list; the container has to be one of them.
Py_ssize_t plain_size(const queue_object& queue) noexcept;

// Method tables. Descriptors are made for each class, so that CPython's specialised calls, which ask for the
// exact type, take them.
extern PyMethodDef queue_methods[];
extern PyMethodDef fifo_hooks[];
extern PyMethodDef lifo_hooks[];
extern PyMethodDef priority_hooks[];

}  // namespace triga
