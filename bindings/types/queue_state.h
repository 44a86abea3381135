// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <array>
#include <cstdint>

#include "bindings/py/ref.h"

namespace triga {

// Which algorithm an override point of a queue class stands for: one of ours, or whatever Python code a
// subclass has put there.
enum class queue_hook : std::uint8_t { fifo, lifo, priority, python };

// What a queue class is made of, as far as the native operations care. Computed once for each version of a
// class.
struct queue_verdict {
  unsigned version = 0;  // the class's tp_version_tag; changes whenever it or a base of it is changed
  queue_hook put = queue_hook::python;
  queue_hook get = queue_hook::python;
  queue_hook size = queue_hook::python;
  queue_hook init = queue_hook::python;
  bool own_put = false;  // put_nowait() may go straight to the native put()
  bool own_get = false;
  bool own_attributes = false;  // mutex, queue, maxsize and the rest are ours, not a subclass's properties
};

// The queue types' share of the module state.
struct queue_state {
  py::ref queue_type;      // _core.Queue
  py::ref family_type;     // _core.ClassFamily
  py::ref condition_type;  // _core.Condition
  py::ref waiters_type;    // _core.Waiters
  py::ref deque_type;      // collections.deque
  py::ref lock_type;       // _thread.lock
  py::ref allocate_lock;   // _thread.allocate_lock

  // C functions of deque and lock, called directly: a third of the price of a method call.
  PyCFunction deque_append = nullptr;
  PyCFunction deque_popleft = nullptr;
  PyCFunction lock_locked = nullptr;

  struct {
    py::ref put, get, put_hook, get_hook, qsize_hook, init_hook;
    py::ref item, block, blocking, timeout, immediate, maxsize, queue;
    py::ref append, popleft, pop, acquire, release, locked;
    py::ref mutex, not_empty, not_full, all_tasks_done, unfinished_tasks, is_shutdown;
    py::ref heappush, heappop, family;
    py::ref is_owned, release_save, acquire_restore, lock, enter, exit;
  } names;

  std::array<queue_verdict, 64> verdicts{};  // by version % 64

  int visit(visitproc visit_one, void* argument);
  void clear();
};

}  // namespace triga
