// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"
#include "bindings/types/stream_transport.h"
#include "bindings/types/streams_state.h"

// How streams call what they are given: loops, futures, transports and protocols of any make.
namespace triga::streams {

using transports::call_method;

// The truth of what a method without arguments returns: 1, 0, or -1 with an exception set.
inline int ask(PyObject* object, const py::ref& method) {
  const py::ref answer = call_method(object, method);
  if (answer.get() == Py_True) return 1;
  if (answer.get() == Py_False) return 0;
  return answer ? PyObject_IsTrue(answer.get()) : -1;
}

inline bool resume_reading(const state& types, PyObject* transport) {
  return static_cast<bool>(call_method(transport, types.names.resume_reading));
}

}  // namespace triga::streams
