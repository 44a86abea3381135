// SPDX-License-Identifier: MIT
// threading.Event: a flag and those who wait for it.
#include <array>

#include "bindings/module_state.h"
#include "bindings/py/arguments.h"
#include "bindings/py/parking.h"
#include "bindings/py/timeout.h"
#include "bindings/types/class_family.h"
#include "bindings/types/lazy_condition.h"
#include "bindings/types/register_types.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

// Guarded by the GIL, which set(), clear() and the look at the flag in wait() do not let go of.
struct event_object {
  PyObject_HEAD queue_state* state;
  class_family* family;
  lazy_condition cond;
  bool flag;
};

event_object& as_event(PyObject* self) { return *reinterpret_cast<event_object*>(self); }

PyObject* event_new(PyTypeObject* type, PyObject*, PyObject*) {
  queue_state& state = state_of(type).queues;
  PyObject* const family = family_of(type, state);
  if (family == nullptr) return nullptr;
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    Py_DECREF(family);
    return nullptr;
  }
  as_event(self).state = &state;
  as_event(self).family = reinterpret_cast<class_family*>(family);
  return self;
}

int event_init(PyObject* self, PyObject* arguments, PyObject* keywords) {
  static const char* const none[] = {nullptr};
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, ":Event", const_cast<char**>(none))) return -1;
  event_object& event = as_event(self);
  event.cond.clear();
  event.cond.foreign = false;
  event.flag = false;
  return 0;
}

int event_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_event(self).family);
  return as_event(self).cond.visit(visit, arg);
}

int event_clear_references(PyObject* self) {
  as_event(self).cond.clear();
  return 0;
}

void event_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  as_event(self).cond.clear();
  Py_CLEAR(as_event(self).family);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* event_is_set(PyObject* self, PyObject*) { return PyBool_FromLong(as_event(self).flag); }

PyObject* change(PyObject* self, bool flag) {
  event_object& event = as_event(self);
  if (event.cond.foreign)
    return run_standard(*event.family, self, flag ? "set" : "clear", nullptr, 0, nullptr);
  const bool held = event.cond.is_held(*event.state);
  if (held && !event.cond.acquire(*event.state)) return nullptr;
  event.flag = flag;
  if (flag) event.cond.waiters.notify_all();
  trace::count(trace::counter::sync_operations);
  if (held) event.cond.release(*event.state);
  Py_RETURN_NONE;
}

PyObject* event_set(PyObject* self, PyObject*) { return change(self, true); }

PyObject* event_clear(PyObject* self, PyObject*) { return change(self, false); }

PyObject* wait_until(event_object& event, time_point deadline) {
  if (deadline == py::already) Py_RETURN_FALSE;
  py::park_outcome outcome;
  {
    py::parking place(event.cond.waiters);
    outcome = place.wait(deadline);
  }
  if (outcome == py::park_outcome::failed) return nullptr;
  return PyBool_FromLong(outcome == py::park_outcome::notified);
}

PyObject* event_wait(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  event_object& event = as_event(self);
  PyObject* timeout = Py_None;
  if (count != 0 || keywords != nullptr) {
    const std::array order{event.state->names.timeout.get()};
    std::array<PyObject*, 1> values{Py_None};
    if (!py::sort_arguments("Event.wait", order, 0, arguments, count, keywords, values)) return nullptr;
    timeout = values[0];
  }
  if (event.cond.foreign) return run_standard(*event.family, self, "wait", &timeout, 1, nullptr);
  // Whoever holds the condition's lock keeps wait() out, as in the original.
  if (event.cond.is_held(*event.state)) {
    if (!event.cond.acquire(*event.state)) return nullptr;
    event.cond.release(*event.state);
  }
  trace::count(trace::counter::sync_operations);
  if (event.flag) Py_RETURN_TRUE;
  time_point deadline = never;
  if (timeout != Py_None && !py::wait_deadline_in(timeout, deadline)) return nullptr;
  PyObject* const outcome = wait_until(event, deadline);
  if (outcome != nullptr && event.cond.foreign) {  // replaced meanwhile: start over
    Py_DECREF(outcome);
    return run_standard(*event.family, self, "wait", &timeout, 1, nullptr);
  }
  return outcome;
}

PyObject* get_cond(PyObject* self, void*) {
  event_object& event = as_event(self);
  return Py_XNewRef(event.cond.get(*event.state, *event.family, self));
}

int set_cond(PyObject* self, PyObject* value, void*) {
  as_event(self).cond.replace(value);
  return 0;
}

PyObject* get_flag(PyObject* self, void*) { return PyBool_FromLong(as_event(self).flag); }

int set_flag(PyObject* self, PyObject* value, void*) {
  const int truth = value != nullptr ? PyObject_IsTrue(value) : 0;
  if (truth >= 0) as_event(self).flag = truth != 0;
  return truth < 0 ? -1 : 0;
}

// In a forked child the waiters are gone without ado; a lock that another thread held has to be made anew.
PyObject* event_at_fork_reinit(PyObject* self, PyObject*) {
  event_object& event = as_event(self);
  if (event.cond.condition == nullptr) Py_RETURN_NONE;
  return PyObject_CallMethod(event.cond.condition, "_at_fork_reinit", nullptr);
}

PyMethodDef event_methods[] = {
    {"is_set", event_is_set, METH_NOARGS,
     "is_set($self, /)\n--\n\nReturn true if and only if the internal flag is true."},
    {"set", event_set, METH_NOARGS,
     "set($self, /)\n--\n\nSet the internal flag to true, and wake all threads that wait for it."},
    {"clear", event_clear, METH_NOARGS, "clear($self, /)\n--\n\nReset the internal flag to false."},
    {"wait", reinterpret_cast<PyCFunction>(event_wait), METH_FASTCALL | METH_KEYWORDS,
     "wait($self, /, timeout=None)\n--\n\nBlock until the internal flag is true, or until timeout seconds "
     "have\n"
     "passed; then return False, else True."},
    {"_at_fork_reinit", event_at_fork_reinit, METH_NOARGS, "For a forked child."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef event_attributes[] = {
    {"_cond", get_cond, set_cond, "A Condition over a Lock.", nullptr},
    {"_flag", get_flag, set_flag, "The internal flag.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot event_slots[] = {
    {Py_tp_doc, const_cast<char*>("The native part of threading.Event.")},
    {Py_tp_new, reinterpret_cast<void*>(event_new)},
    {Py_tp_init, reinterpret_cast<void*>(event_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(event_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(event_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(event_clear_references)},
    {Py_tp_methods, event_methods},
    {Py_tp_getset, event_attributes},
    {0, nullptr},
};

PyType_Spec event_spec = {
    .name = "triga._core.Event",
    .basicsize = sizeof(event_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = event_slots,
};

}  // namespace

bool add_event_type(PyObject* module) {
  const py::ref type = py::ref::steal(PyType_FromModuleAndSpec(module, &event_spec, nullptr));
  return type && PyModule_AddType(module, type.type()) == 0;
}

}  // namespace triga
