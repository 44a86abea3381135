// SPDX-License-Identifier: MIT
#include "bindings/types/lazy_condition.h"

#include "bindings/py/error.h"
#include "bindings/py/ref.h"
#include "bindings/types/class_family.h"
#include "bindings/types/condition.h"

namespace triga {

int lazy_condition::visit(visitproc visit_one, void* argument) const {
  for (PyObject* each : {condition, lock}) {
    if (each == nullptr) continue;
    if (const int stop = visit_one(each, argument); stop != 0) return stop;
  }
  return 0;
}

void lazy_condition::clear() noexcept {
  Py_CLEAR(condition);
  Py_CLEAR(lock);
}

bool lazy_condition::is_held(const queue_state& state) const {
  if (lock == nullptr || foreign) return false;
  const py::ref locked = py::ref::steal(state.lock_locked(lock, nullptr));
  return locked.get() != Py_False;
}

PyObject* lazy_condition::get(const queue_state& state, const class_family& family, PyObject* owner) {
  if (condition != nullptr) return condition;
  const py::ref made_lock = py::ref::steal(PyObject_CallNoArgs(state.allocate_lock.get()));
  if (!made_lock) return nullptr;
  py::ref made =
      py::ref::steal(new_shared_condition(family.condition_class, made_lock.get(), owner, waiters));
  if (!made) return nullptr;
  if (condition == nullptr) {  // else another thread was faster, as making it runs Python code
    lock = Py_NewRef(made_lock.get());
    condition = made.release();
  }
  return condition;
}

void lazy_condition::replace(PyObject* theirs) {
  foreign = true;
  Py_XSETREF(condition, Py_XNewRef(theirs));
  waiters.notify_all();  // who waits natively starts over, on the new one
}

bool lazy_condition::acquire(const queue_state& state) {
  PyObject* const taken = PyObject_CallMethodNoArgs(lock, state.names.acquire.get());
  Py_XDECREF(taken);
  return taken != nullptr;
}

void lazy_condition::release(const queue_state& state) {
  py::error_aside aside;
  Py_XDECREF(PyObject_CallMethodNoArgs(lock, state.names.release.get()));
  aside.put_back();
}

}  // namespace triga
