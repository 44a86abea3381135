// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

// Coroutines written in C++: what StreamReader.read() and its kin return.
//
// As with a coroutine of Python's, nothing happens until it is first sent to, so that two reads which are
// awaited in another order than they were made in get their data in the order of the awaits; and it has
// send(), throw() and close(), so that asyncio.iscoroutine(), create_task() and wait_for() take it.
namespace triga::streams {

struct coroutine_object;

// One kind of coroutine.
struct coroutine_kind {
  const char* name;  // its qualified name
  // Runs until the end or the next wait. The result: it is over. Null with an exception: it failed. Null
  // without: it waits, as wait_for() or yield_once() has prepared.
  PyObject* (*advance)(coroutine_object& self);
  // What stands in a finally block around each wait. May be null.
  void (*after_wait)(coroutine_object& self);
};

struct coroutine_object {
  enum class phase : char { created, suspended, running, finished };

  PyObject_HEAD const coroutine_kind* kind;
  PyObject* owner;     // the reader or the writer
  PyObject* argument;  // of the call, or null
  PyObject* awaited;   // the iterator of what is waited for
  Py_ssize_t count;    // bytes that were asked for
  std::size_t offset;  // of readuntil(): bytes known to hold no separator
  phase state;
  bool yields;   // once, to the loop, as asyncio.sleep(0)
  bool resumed;  // a wait is over
};

// A new coroutine of `kind` on `owner`.
PyObject* make_coroutine(PyTypeObject* type, const coroutine_kind& kind, PyObject* owner,
                         PyObject* argument = nullptr, Py_ssize_t count = 0);

// Prepares to wait for an awaitable. False with an exception set if it is none.
bool wait_for(coroutine_object& self, PyObject* awaitable);
inline void yield_once(coroutine_object& self) noexcept { self.yields = true; }

// The type of them all; null with an exception set.
py::ref make_coroutine_type(PyObject* core);

}  // namespace triga::streams
