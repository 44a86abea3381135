// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/types/queue_state.h"
#include "runtime/sync/wait_list.h"

namespace triga {

struct class_family;

// The `_cond` of an Event or a Semaphore: a Condition over a plain Lock, made when a program asks for it.
// Native operations run from beginning to end under the GIL, so until then they need no lock; afterwards they
// see to it that nobody holds it, and the condition's waiters are theirs. Guarded by the GIL.
struct lazy_condition {
  PyObject* condition;
  PyObject* lock;  // the condition's
  sync::wait_list waiters;
  bool foreign;  // the program has put a condition of its own here: the standard algorithm runs on that

  int visit(visitproc visit_one, void* argument) const;
  void clear() noexcept;

  [[nodiscard]] bool is_held(const queue_state& state) const;
  // The condition, borrowed; `owner` is the object that this is a part of.
  PyObject* get(const queue_state& state, const class_family& family, PyObject* owner);
  // Replaces it by the program's own.
  void replace(PyObject* theirs);
  // While the lock is held by somebody: waits, and holds it. False with an exception.
  bool acquire(const queue_state& state);
  void release(const queue_state& state);
};

}  // namespace triga
