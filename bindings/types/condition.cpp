// SPDX-License-Identifier: MIT
#include "bindings/types/condition.h"

#include <array>
#include <cmath>

#include "bindings/module_state.h"
#include "bindings/py/arguments.h"
#include "bindings/py/error.h"
#include "bindings/py/parking.h"
#include "bindings/py/timeout.h"
#include "bindings/types/queue_state.h"
#include "bindings/types/register_types.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

using py::park_outcome;

condition_object& as_condition(PyObject* self) { return *reinterpret_cast<condition_object*>(self); }

// ---- life

PyObject* condition_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  as_condition(self).state = &state_of(type).queues;
  as_condition(self).waiters = &as_condition(self).own;
  return self;
}

int condition_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_condition(self).owner);
  return 0;
}

int condition_clear(PyObject* self) {
  as_condition(self).waiters = &as_condition(self).own;
  Py_CLEAR(as_condition(self).owner);
  return 0;
}

void condition_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  condition_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- the lock: what the standard class does where the lock itself has no such methods

PyObject* condition_is_owned(PyObject* self, PyObject*) {
  queue_state& state = *as_condition(self).state;
  const py::ref lock = py::ref::steal(PyObject_GetAttr(self, state.names.lock.get()));
  if (!lock) return nullptr;
  if (Py_IS_TYPE(lock.get(), state.lock_type.type())) return state.lock_locked(lock.get(), nullptr);
  const py::ref acquired =
      py::ref::steal(PyObject_CallMethodOneArg(lock.get(), state.names.acquire.get(), Py_False));
  if (!acquired) return nullptr;
  const int got = PyObject_IsTrue(acquired.get());
  if (got <= 0) return got < 0 ? nullptr : Py_NewRef(Py_True);
  const py::ref released = py::ref::steal(PyObject_CallMethodNoArgs(lock.get(), state.names.release.get()));
  return released ? Py_NewRef(Py_False) : nullptr;
}

// self._lock.name(*arguments); arguments[0] is room for the lock. By hand, as it may block: see parking.h.
template <std::size_t Count>
PyObject* call_lock(PyObject* self, const py::ref& name, std::array<PyObject*, Count> arguments) {
  PyObject* const lock = PyObject_GetAttr(self, as_condition(self).state->names.lock.get());
  if (lock == nullptr) return nullptr;
  arguments[0] = lock;
  PyObject* const outcome = PyObject_VectorcallMethod(name.get(), arguments.data(), Count, nullptr);
  Py_DECREF(lock);
  return outcome;
}

PyObject* none_for(PyObject* outcome) {
  Py_XDECREF(outcome);
  return outcome != nullptr ? Py_NewRef(Py_None) : nullptr;
}

PyObject* condition_release_save(PyObject* self, PyObject*) {
  return none_for(call_lock(self, as_condition(self).state->names.release, std::array<PyObject*, 1>{}));
}

PyObject* condition_acquire_restore(PyObject* self, PyObject*) {
  return none_for(call_lock(self, as_condition(self).state->names.acquire, std::array<PyObject*, 1>{}));
}

PyObject* condition_enter(PyObject* self, PyObject*) {
  return call_lock(self, as_condition(self).state->names.enter, std::array<PyObject*, 1>{});
}

PyObject* condition_exit(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
  if (count != 3) {
    PyErr_Format(PyExc_TypeError, "Condition.__exit__() takes 3 arguments but %zd were given", count);
    return nullptr;
  }
  return call_lock(self, as_condition(self).state->names.exit,
                   std::array<PyObject*, 4>{nullptr, arguments[0], arguments[1], arguments[2]});
}

// ---- waiting and notifying

// True if the calling thread holds the lock, as far as the lock can tell; else false with
// RuntimeError(complaint).
bool require_owned(PyObject* self, const char* complaint) {
  const py::ref owned =
      py::ref::steal(PyObject_CallMethodNoArgs(self, as_condition(self).state->names.is_owned.get()));
  const int truth = owned ? PyObject_IsTrue(owned.get()) : -1;
  if (truth == 0) PyErr_SetString(PyExc_RuntimeError, complaint);
  return truth > 0;
}

// Gives the lock up, sleeps, takes the lock again whatever happened.
PyObject* wait_until(PyObject* self, time_point deadline) {
  condition_object& condition = as_condition(self);
  const auto& names = condition.state->names;
  trace::count(trace::counter::sync_operations);
  park_outcome outcome;
  PyObject* saved;
  {
    py::parking place(*condition.waiters);
    saved = PyObject_CallMethodNoArgs(self, names.release_save.get());
    if (saved == nullptr) return nullptr;
    outcome = place.wait(deadline);
  }
  py::error_aside interruption;
  PyObject* const restored = PyObject_CallMethodOneArg(self, names.acquire_restore.get(), saved);
  Py_DECREF(saved);
  if (restored == nullptr) {
    if (outcome == park_outcome::notified) condition.waiters->notify(1);
    interruption.put_back();
    return nullptr;
  }
  Py_DECREF(restored);
  interruption.put_back();
  return outcome == park_outcome::failed ? nullptr : PyBool_FromLong(outcome == park_outcome::notified);
}

PyObject* condition_wait(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  const auto& names = as_condition(self).state->names;
  const std::array order{names.timeout.get()};
  std::array<PyObject*, 1> values{Py_None};
  if (!py::sort_arguments("Condition.wait", order, 0, arguments, count, keywords, values)) return nullptr;
  if (!require_owned(self, "cannot wait on un-acquired lock")) return nullptr;
  time_point deadline = never;
  if (values[0] != Py_None && !py::wait_deadline_in(values[0], deadline)) return nullptr;
  return wait_until(self, deadline);
}

// The number of waiters that notify(n) is to wake. -1 with an exception.
Py_ssize_t count_of(PyObject* n) {
  if (PyFloat_Check(n)) {
    const double value = std::ceil(PyFloat_AS_DOUBLE(n));
    return value > 0 ? static_cast<Py_ssize_t>(std::fmin(value, 1e15)) : 0;
  }
  const Py_ssize_t value = PyNumber_AsSsize_t(n, nullptr);
  if (value == -1 && PyErr_Occurred() != nullptr) return -1;
  return value > 0 ? value : 0;
}

PyObject* condition_notify(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  condition_object& condition = as_condition(self);
  // `n` is the one name that is not interned in the state; the call by keyword is rare.
  PyObject* n = count == 1 ? arguments[0] : nullptr;
  if (keywords != nullptr || count > 1) {
    const py::ref name = py::ref::steal(PyUnicode_InternFromString("n"));
    const std::array order{name.get()};
    std::array<PyObject*, 1> values{nullptr};
    if (!name || !py::sort_arguments("Condition.notify", order, 0, arguments, count, keywords, values))
      return nullptr;
    n = values[0];
  }
  if (!require_owned(self, "cannot notify on un-acquired lock")) return nullptr;
  const Py_ssize_t most = n != nullptr ? count_of(n) : 1;
  if (most < 0) return nullptr;
  trace::count(trace::counter::sync_operations);
  // The list takes each waiter off before it wakes it, so what wakes meanwhile and waits again is not counted
  // twice.
  condition.waiters->notify(std::min(static_cast<std::size_t>(most), condition.waiters->size()));
  Py_RETURN_NONE;
}

PyObject* condition_notify_all(PyObject* self, PyObject*) {
  const py::ref all = py::ref::steal(PyLong_FromSize_t(as_condition(self).waiters->size()));
  const py::ref notify = py::ref::steal(PyUnicode_InternFromString("notify"));
  if (!all || !notify) return nullptr;
  return none_for(PyObject_CallMethodOneArg(self, notify.get(), all.get()));
}

// ---- _waiters: who waits, as far as programs ask: how many

struct waiters_object {
  PyObject_HEAD PyObject* condition;
};

PyObject*& condition_of(PyObject* view) { return reinterpret_cast<waiters_object*>(view)->condition; }

PyObject* condition_get_waiters(PyObject* self, void*) {
  PyTypeObject* const type = as_condition(self).state->waiters_type.type();
  PyObject* const view = type->tp_alloc(type, 0);
  if (view != nullptr) condition_of(view) = Py_NewRef(self);
  return view;
}

// The standard __init__() assigns an empty deque.
int condition_set_waiters(PyObject* self, PyObject* value, void*) {
  const Py_ssize_t size = value != nullptr ? PyObject_Size(value) : 0;
  if (size == 0) {
    as_condition(self).waiters->notify_all();
  } else if (size > 0) {
    PyErr_SetString(PyExc_TypeError, "the waiters of a condition can be replaced by an empty container only");
  }
  return size == 0 ? 0 : -1;
}

Py_ssize_t waiters_length(PyObject* self) {
  return static_cast<Py_ssize_t>(as_condition(condition_of(self)).waiters->size());
}

PyObject* waiters_clear(PyObject* self, PyObject*) {
  as_condition(condition_of(self)).waiters->notify_all();
  Py_RETURN_NONE;
}

int waiters_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(condition_of(self));
  return 0;
}

void waiters_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_CLEAR(condition_of(self));
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- tables

PyMethodDef condition_methods[] = {
    {"wait", reinterpret_cast<PyCFunction>(condition_wait), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, /, timeout=None)\n--\n\nWait until notified or until timeout seconds have passed.\n\n"
     "Releases the lock while it waits and holds it again when it returns: True if notified, False if time "
     "was up.\n"
     "Raises RuntimeError if the lock is not held."},
    {"notify", reinterpret_cast<PyCFunction>(condition_notify), METH_FASTCALL | METH_KEYWORDS,
     "notify($self, /, n=1)\n--\n\nWake up at most n threads waiting on this condition, if any.\n\n"
     "Raises RuntimeError if the lock is not held."},
    {"notify_all", condition_notify_all, METH_NOARGS,
     "notify_all($self, /)\n--\n\nWake up all threads waiting on this condition."},
    {"_is_owned", condition_is_owned, METH_NOARGS, "For locks without a method of this name."},
    {"_release_save", condition_release_save, METH_NOARGS, "For locks without a method of this name."},
    {"_acquire_restore", condition_acquire_restore, METH_O, "For locks without a method of this name."},
    {"__enter__", condition_enter, METH_NOARGS, "Acquires the lock."},
    {"__exit__", reinterpret_cast<PyCFunction>(condition_exit), METH_FASTCALL, "Releases the lock."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef condition_attributes[] = {
    {"_waiters", condition_get_waiters, condition_set_waiters, "Who waits: has a length.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot condition_slots[] = {
    {Py_tp_doc, const_cast<char*>("The native part of threading.Condition.")},
    {Py_tp_new, reinterpret_cast<void*>(condition_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(condition_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(condition_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(condition_clear)},
    {Py_tp_methods, condition_methods},
    {Py_tp_getset, condition_attributes},
    {0, nullptr},
};

PyType_Spec condition_spec = {
    .name = "triga._core.Condition",
    .basicsize = sizeof(condition_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = condition_slots,
};

PyMethodDef waiters_methods[] = {
    {"clear", waiters_clear, METH_NOARGS, "Wakes them all."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot waiters_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(waiters_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(waiters_traverse)},
    {Py_tp_methods, waiters_methods},
    {Py_sq_length, reinterpret_cast<void*>(waiters_length)},
    {0, nullptr},
};

PyType_Spec waiters_spec = {
    .name = "triga._core.Waiters",
    .basicsize = sizeof(waiters_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = waiters_slots,
};

}  // namespace

PyObject* new_shared_condition(PyObject* condition_class, PyObject* lock, PyObject* owner,
                               sync::wait_list& list) {
  PyObject* const self = PyObject_CallOneArg(condition_class, lock);
  if (self == nullptr) return nullptr;
  as_condition(self).owner = Py_NewRef(owner);
  as_condition(self).waiters = &list;
  return self;
}

bool add_condition_types(PyObject* module, queue_state& state) {
  state.condition_type = py::ref::steal(PyType_FromModuleAndSpec(module, &condition_spec, nullptr));
  state.waiters_type = py::ref::steal(PyType_FromModuleAndSpec(module, &waiters_spec, nullptr));
  return state.condition_type && state.waiters_type &&
         PyModule_AddType(module, state.condition_type.type()) == 0;
}

}  // namespace triga
