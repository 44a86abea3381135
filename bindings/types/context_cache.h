// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::handles {

// Contexts for callbacks that are given none.
//
// The problem: call_soon() promises each callback a copy of the current context of its own, and almost no
// callback changes a context variable or looks at its handle's context. The copies are half of what a burst
// of callbacks costs: each is an object that the garbage collector walks. But a Context keeps its variables
// in one immutable map, and two contexts with the same map are equal. So callbacks share a snapshot that
// nobody enters, for as long as the current context's map stays the same, and are run in a spare context with
// that map, one after the other. A context that a callback has changed, or that anybody else still refers to,
// is never used again.
//
// Where Context keeps the map no header says. It is found out at run time (probe()); a Context in which it
// cannot be found is copied each time, as asyncio does.
//
// A part of the module's state, used under the GIL.
class context_cache {
 public:
  // Finds the map. Leaves no exception set.
  void probe() noexcept;

  // A context with the variables of the current one, shared and never entered; null without an exception if
  // the caller has to make a copy of its own.
  [[nodiscard]] py::ref snapshot() noexcept {
    PyObject* const current = PyThreadState_Get()->context;
    if (map_at_ == 0 || current == nullptr) return {};  // a thread's first context is made by copying it
    return snapshot_ && map_of(snapshot_.get()) == map_of(current) ? snapshot_ : new_snapshot();
  }
  // A context to enter, with a snapshot's variables. Null with an exception set: no memory.
  [[nodiscard]] py::ref enterable(PyObject* snapshot) noexcept {
    if (spare_ && map_of(spare_.get()) == map_of(snapshot)) return std::move(spare_);
    return py::ref::steal(PyContext_Copy(snapshot));
  }
  // Takes a context from enterable() back after it was entered and left, if it still is as it was and nobody
  // else has it. False: it is the caller's own from now on.
  bool give_back(py::ref& context, PyObject* snapshot) noexcept {
    if (Py_REFCNT(context.get()) != 1 || is_weakly_referenced(context.get()) ||
        map_of(context.get()) != map_of(snapshot)) {
      return false;
    }
    spare_ = std::move(context);
    return true;
  }
  // Is this the context that snapshot() gave last?
  [[nodiscard]] bool shares(const py::ref& snapshot) const noexcept {
    return snapshot && snapshot.get() == snapshot_.get();
  }
  // A holder gives its reference to a snapshot up next; the last one takes the variables along.
  void let_go(const py::ref& snapshot) noexcept;
  // Lets go of the variables: nothing of a program's may live longer for having been cached.
  void forget() noexcept;

  int traverse(visitproc visit_one, void* argument) const;

 private:
  [[nodiscard]] const void* map_of(PyObject* context) const noexcept {
    return *reinterpret_cast<void**>(reinterpret_cast<char*>(context) + map_at_);
  }

  [[nodiscard]] bool is_weakly_referenced(PyObject* context) const noexcept {
    return weak_at_ != 0 &&
           *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(context) + weak_at_) != nullptr;
  }
  [[nodiscard]] py::ref new_snapshot() noexcept;

  Py_ssize_t map_at_ = 0;   // where in a Context; 0: not found
  Py_ssize_t weak_at_ = 0;  // where its weak references are listed
  py::ref snapshot_;
  py::ref spare_;
};

// Does anybody hold a weak reference to `object`?
[[nodiscard]] inline bool weakly_referenced(PyObject* object) noexcept {
  const Py_ssize_t at = Py_TYPE(object)->tp_weaklistoffset;  // negative where the list is before the object
  return at != 0 && *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + at) != nullptr;
}

}  // namespace triga::handles
