// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/base/clock.h"
#include "runtime/sync/futex.h"

namespace triga {

struct future_object;
struct completion_watch_object;

// One future that one watch waits for: a node of the future's list of waiters and, once the future is done,
// of the watch's list of finished ones. Guarded by the GIL.
struct completion_link {
  completion_watch_object* watch = nullptr;
  future_object* future = nullptr;  // owned
  completion_link* next_waiter = nullptr;
  completion_link* next_finished = nullptr;
};

// What wait() and as_completed() sleep on: one word for any number of futures.
struct completion_watch_object {
  PyObject_HEAD completion_link* links;  // an array
  Py_ssize_t count;
  Py_ssize_t pending;               // futures not done yet
  completion_link* first_finished;  // in the order in which they finished
  completion_link* last_finished;
  time_point deadline;  // of the iteration
  Py_ssize_t wake_at;   // the sleeper wants to be woken when `pending` is not above this
  bool wake_on_exception;
  bool saw_exception;
  sync::futex_word generation;  // changes when the sleeper should look again
};

// Tells every watch of the future that it is done.
void completion_notify(future_object* future, bool raised);

void add_completion_type(PyObject* module);

}  // namespace triga
