// SPDX-License-Identifier: MIT
// The attributes of concurrent.futures.Future that the documentation does not name, but that the standard
// library and others read and write: _state, _result, _exception, _condition, _waiters, _done_callbacks.
#include "bindings/module_state.h"
#include "bindings/types/completion.h"
#include "bindings/types/future.h"

namespace triga {
namespace {

using exec::progress;

bool refuse_deletion(PyObject* value) {
  if (value != nullptr) return false;
  PyErr_SetString(PyExc_AttributeError, "cannot delete an attribute of a future");
  return true;
}

PyObject* get_state(PyObject* self, void*) {
  return PyUnicode_InternFromString(progress_name(as_future(self)->state.now()));
}

int set_state(PyObject* object, PyObject* value, void*) {
  if (refuse_deletion(value)) return -1;
  for (const progress each : {progress::pending, progress::running, progress::cancelled,
                              progress::cancelled_and_notified, progress::finished}) {
    if (!PyUnicode_Check(value) || PyUnicode_CompareWithASCIIString(value, progress_name(each)) != 0)
      continue;
    future_object* const self = as_future(object);
    self->state.force(each);
    if (each >= progress::cancelled_and_notified) completion_notify(self, self->exception != nullptr);
    return 0;
  }
  PyErr_Format(PyExc_ValueError, "a future has no state %R", value);
  return -1;
}

template <PyObject* future_object::* Member>
PyObject* get_object(PyObject* self, void*) {
  PyObject* const value = as_future(self)->*Member;
  return Py_NewRef(value != nullptr ? value : Py_None);
}

template <PyObject* future_object::* Member>
int set_object(PyObject* self, PyObject* value, void*) {
  if (refuse_deletion(value)) return -1;
  Py_XSETREF(as_future(self)->*Member, Py_NewRef(value));
  return 0;
}

// None is how the standard library says that there is no exception.
int set_exception(PyObject* self, PyObject* value, void*) {
  if (refuse_deletion(value)) return -1;
  Py_XSETREF(as_future(self)->exception, value != Py_None ? Py_NewRef(value) : nullptr);
  return 0;
}

template <PyObject* future_object::* Member>
PyObject* get_list(PyObject* self, void*) {
  PyObject*& list = as_future(self)->*Member;
  if (list == nullptr) list = PyList_New(0);
  return Py_XNewRef(list);
}

template <PyObject* future_object::* Member>
int set_list(PyObject* self, PyObject* value, void* closure) {
  if (value != nullptr && !PyList_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "a future's waiters and callbacks are lists");
    return -1;
  }
  return set_object<Member>(self, value, closure);
}

// Makes the condition at the first look at it. The future is completed under it from then on; there is no
// moment in between, since completing a future without a condition lets go of the GIL nowhere.
PyObject* get_condition(PyObject* object, void*) {
  future_object* const self = as_future(object);
  if (self->condition == nullptr) {
    PyObject* const threading = PyImport_ImportModule("threading");
    PyObject* const made =
        threading != nullptr ? PyObject_CallMethod(threading, "Condition", nullptr) : nullptr;
    Py_XDECREF(threading);
    if (made == nullptr) return nullptr;
    // Another thread may have been faster while this one ran Python code.
    if (self->condition == nullptr) {
      self->condition = made;
    } else {
      Py_DECREF(made);
    }
  }
  return Py_NewRef(self->condition);
}

}  // namespace

PyGetSetDef future_getset[] = {
    {"_state", get_state, set_state, nullptr, nullptr},
    {"_result", get_object<&future_object::result>, set_object<&future_object::result>, nullptr, nullptr},
    {"_exception", get_object<&future_object::exception>, set_exception, nullptr, nullptr},
    {"_condition", get_condition, set_object<&future_object::condition>, nullptr, nullptr},
    {"_waiters", get_list<&future_object::waiters>, set_list<&future_object::waiters>, nullptr, nullptr},
    {"_done_callbacks", get_list<&future_object::callbacks>, set_list<&future_object::callbacks>, nullptr,
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace triga
