// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/sync/wait_list.h"

namespace triga {

struct queue_state;

// The native part of threading.Condition: who waits, and waking them. The lock, whatever it is, and
// everything about it
// (_is_owned, _release_save, _acquire_restore) is the standard class's, which the Python-level class also
// derives from.
struct condition_object {
  PyObject_HEAD queue_state* state;
  PyObject* owner;  // the queue whose list this condition shares; null: it has its own
  sync::wait_list* waiters;
  sync::wait_list own;
};

// A condition over `lock` whose waiters are `list`, which belongs to `owner`. A new reference, or nullptr.
PyObject* new_shared_condition(PyObject* condition_class, PyObject* lock, PyObject* owner,
                               sync::wait_list& list);

}  // namespace triga
