// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <memory>

#include "bindings/ipc/sender.h"

namespace triga::ipc {

// What an open queue has.
struct open_queue {
  std::shared_ptr<sender> side;
  encoders encode;
  decoder decode;
  pybind11::object full;  // the exceptions of this copy of multiprocessing.queues
  pybind11::object empty;
  bool closed = false;
  bool used = false;  // something was put here
};

// The base of the classes Queue and JoinableQueue (put and get with block and timeout) and SimpleQueue. One
// that was never opened is the standard library's: its methods run those of the class's `_stock`.
struct queue_object {
  PyObject_HEAD open_queue* open;
};

inline open_queue* open_part(PyObject* self) noexcept { return reinterpret_cast<queue_object*>(self)->open; }

// New references, or nullptr with an exception.
PyObject* make_process_queue_type(PyObject* module);
PyObject* make_simple_process_queue_type(PyObject* module);

// put() and get() of an open queue. nullptr with an exception.
PyObject* put(PyObject* self, PyObject* object, bool block, PyObject* timeout);
PyObject* get(open_queue& queue, bool block, PyObject* timeout);
PyObject* put_simple(open_queue& queue, PyObject* object);

// The same with pickles that are made and read elsewhere. They throw error_already_set.
void put_pickle(open_queue& queue, const pybind11::bytes& pickle);
// `dumps` pickles what did not travel as one.
pybind11::object take_pickle(open_queue& queue, const pybind11::object& dumps);

}  // namespace triga::ipc
