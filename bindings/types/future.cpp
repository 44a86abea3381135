// SPDX-License-Identifier: MIT
#include "bindings/types/future.h"

#include <Python.h>
#include <structmember.h>

#include <cstddef>
#include <new>

#include "bindings/module_state.h"
#include "bindings/py/seconds.h"
#include "bindings/py/throw_raised.h"
#include "bindings/py/waiting.h"
#include "bindings/types/completion.h"
#include "bindings/types/future_link.h"

namespace triga {
namespace {

using exec::progress;

PyObject* future_tp_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  // tp_alloc zeroed the rest.
  new (&as_future(self)->state) exec::future_state;
  new (&as_future(self)->call) future_call;
  return self;
}

// Defined so that concurrent.futures.Future.__init__, the next in the method resolution order, does not run.
int future_tp_init(PyObject*, PyObject* args, PyObject* kwargs) {
  if (PyTuple_GET_SIZE(args) == 0 && (kwargs == nullptr || PyDict_GET_SIZE(kwargs) == 0)) return 0;
  PyErr_SetString(PyExc_TypeError, "Future() takes no arguments");
  return -1;
}

int future_traverse(PyObject* object, visitproc visit, void* arg) {
  future_object* const self = as_future(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->result);
  Py_VISIT(self->exception);
  Py_VISIT(self->callbacks);
  Py_VISIT(self->condition);
  Py_VISIT(self->waiters);
  return self->call.visit(visit, arg);
}

int future_clear(PyObject* object) {
  future_object* const self = as_future(object);
  Py_CLEAR(self->result);
  Py_CLEAR(self->exception);
  Py_CLEAR(self->callbacks);
  Py_CLEAR(self->condition);
  Py_CLEAR(self->waiters);
  self->call.clear();
  return 0;
}

void future_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (as_future(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  future_clear(self);
  as_future(self)->call.~future_call();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef future_type_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(future_object, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot future_type_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(future_tp_new)},
    {Py_tp_init, reinterpret_cast<void*>(future_tp_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(future_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(future_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(future_clear)},
    {Py_tp_repr, reinterpret_cast<void*>(future_repr)},
    {Py_am_await, reinterpret_cast<void*>(await_future)},
    {Py_tp_methods, future_methods},
    {Py_tp_members, future_type_members},
    {Py_tp_getset, future_getset},
    {0, nullptr},
};

PyType_Spec future_type_spec = {
    .name = "triga._core.FutureCore",
    .basicsize = sizeof(future_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = future_type_slots,
};

void report_callback_error(future_object* self) {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  if (trace != nullptr) PyException_SetTraceback(value, trace);
  PyObject* const report = state_of(Py_TYPE(self)).futures.report_callback.get();
  PyObject* const done =
      PyObject_CallFunctionObjArgs(report, reinterpret_cast<PyObject*>(self), value, nullptr);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  if (done == nullptr) PyErr_WriteUnraisable(report);
  Py_XDECREF(done);
}

// The callbacks in order. What is no Exception (KeyboardInterrupt, SystemExit) ends the calling, as in the
// original.
bool invoke_callbacks(future_object* self) {
  if (self->callbacks == nullptr) return true;
  PyObject* const callbacks = Py_NewRef(self->callbacks);
  bool well = true;
  for (Py_ssize_t i = 0; well && i < PyList_GET_SIZE(callbacks); ++i) {
    PyObject* const callback = Py_NewRef(PyList_GET_ITEM(callbacks, i));
    PyObject* const done = PyObject_CallOneArg(callback, reinterpret_cast<PyObject*>(self));
    Py_DECREF(callback);
    if (done != nullptr) {
      Py_DECREF(done);
    } else if (PyErr_ExceptionMatches(PyExc_Exception)) {
      report_callback_error(self);
    } else {
      well = false;
    }
  }
  Py_DECREF(callbacks);
  return well;
}

bool call_method(PyObject* object, const char* name, PyObject* argument = nullptr) {
  PyObject* const done = argument != nullptr ? PyObject_CallMethod(object, name, "O", argument)
                                             : PyObject_CallMethod(object, name, nullptr);
  Py_XDECREF(done);
  return done != nullptr;
}

// Calls waiter.<name>(self) for each of the standard library's waiters.
bool tell_waiters(future_object* self, const char* name) {
  if (self->waiters == nullptr) return true;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(self->waiters); ++i) {
    if (!call_method(PyList_GET_ITEM(self->waiters, i), name, reinterpret_cast<PyObject*>(self)))
      return false;
  }
  return true;
}

// Runs `change` under the future's condition, if it has one; the condition is let go in any case.
template <class Change>
bool with_condition(future_object* self, Change change) {
  if (self->condition == nullptr) return change();
  PyObject* const condition = Py_NewRef(self->condition);
  bool well = call_method(condition, "acquire");
  if (well) {
    well = change();
    PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
    PyErr_Fetch(&type, &value, &trace);
    const bool released = call_method(condition, "release");
    if (type != nullptr) PyErr_Restore(type, value, trace);
    well = well && released;
  }
  Py_DECREF(condition);
  return well;
}

bool notify_all(future_object* self) {
  return self->condition == nullptr || call_method(self->condition, "notify_all");
}

bool complete_now(future_object* self, PyObject* result, PyObject* exception) {
  if (self->state.done()) {
    PyObject* const message = PyUnicode_FromFormat("%s: %R", progress_name(self->state.now()), self);
    if (message != nullptr) raise_futures_error("InvalidStateError", message);
    Py_XDECREF(message);
    return false;
  }
  Py_XSETREF(self->result, Py_XNewRef(result));
  Py_XSETREF(self->exception, Py_XNewRef(exception));
  self->state.finish();
  completion_notify(self, exception != nullptr);
  return tell_waiters(self, exception != nullptr ? "add_exception" : "add_result") && notify_all(self);
}

}  // namespace

future_object* future_new(module_state& state) {
  return as_future(future_tp_new(state.futures.future.type(), nullptr, nullptr));
}

bool future_complete(future_object* self, PyObject* result, PyObject* exception) {
  return with_condition(self, [&] { return complete_now(self, result, exception); }) &&
         invoke_callbacks(self);
}

int future_start(future_object* self) {
  int outcome = -1;
  const bool well = with_condition(self, [&] {
    if (self->state.start()) {
      outcome = 1;
      return true;
    }
    if (self->state.notify_cancelled()) {
      outcome = 0;
      completion_notify(self, false);
      return tell_waiters(self, "add_cancelled");
    }
    PyErr_SetString(PyExc_RuntimeError, "Future in unexpected state");
    return false;
  });
  return well ? outcome : -1;
}

int future_cancel(future_object* self) {
  bool changed = false;
  const bool well = with_condition(self, [&] {
    changed = self->state.cancel();
    return !changed || notify_all(self);
  });
  if (!well) return -1;
  if (!changed)
    return self->state.now() == progress::cancelled || self->state.now() == progress::cancelled_and_notified;
  return invoke_callbacks(self) ? 1 : -1;
}

int future_wait(future_object* self, time_point deadline) {
  // The caller holds a reference to the future, and only its state is touched.
  exec::future_state& state = self->state;
  const auto done = [&state] { return state.done(); };
  const auto sleep = [&state](time_point until) { return state.sleep_until_done(until); };
  const py::waited outcome = py::wait_without_gil(sync::waiting_for::future, deadline, done, done, sleep);
  if (outcome == py::waited::failed) return -1;
  return outcome == py::waited::until_done ? 1 : 0;
}

std::optional<time_point> deadline_of(PyObject* timeout) {
  if (timeout == nullptr || timeout == Py_None) return never;
  const auto duration = py::seconds(timeout);
  if (!duration) return std::nullopt;
  return deadline_after(*duration);
}

void raise_futures_error(const char* name, PyObject* message) {
  PyObject* const module = PyImport_ImportModule("concurrent.futures._base");
  PyObject* const type = module != nullptr ? PyObject_GetAttrString(module, name) : nullptr;
  if (type != nullptr) PyErr_SetObject(type, message);
  Py_XDECREF(type);
  Py_XDECREF(module);
}

const char* progress_name(progress value) noexcept {
  switch (value) {
    case progress::pending:
      return "PENDING";
    case progress::running:
      return "RUNNING";
    case progress::cancelled:
      return "CANCELLED";
    case progress::cancelled_and_notified:
      return "CANCELLED_AND_NOTIFIED";
    case progress::finished:
      break;
  }
  return "FINISHED";
}

void add_future_type(PyObject* module) {
  futures_state& state = state_of(module).futures;
  state.future_core = py::ref::steal(PyType_FromModuleAndSpec(module, &future_type_spec, nullptr));
  if (!state.future_core || PyModule_AddObjectRef(module, "FutureCore", state.future_core.get()) != 0) {
    py::throw_raised();
  }
}

}  // namespace triga
