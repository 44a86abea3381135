// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

// The types of the queue room, each added to the module and to its state. False with an exception.
namespace triga {

struct queue_state;

bool add_family_type(PyObject* module, queue_state& state);
bool add_queue_types(PyObject* module, queue_state& state);
bool add_condition_types(PyObject* module, queue_state& state);
bool add_event_type(PyObject* module);
bool add_semaphore_types(PyObject* module);

// A new type _queue.SimpleQueue, for one copy of module _queue. A new reference.
PyObject* new_simple_queue_type(PyObject* module);

}  // namespace triga
