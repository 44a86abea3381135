// SPDX-License-Identifier: MIT
#include "bindings/module_state.h"
#include "bindings/py/type_name.h"
#include "bindings/types/future.h"

namespace triga {
namespace {

using exec::progress;

// The one optional argument `timeout`, by position or name. False: TypeError is set.
bool parse_timeout(const char* method, PyObject* const* args, Py_ssize_t count, PyObject* names,
                   PyObject** timeout) {
  *timeout = nullptr;
  const Py_ssize_t named = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  if (count + named > 1) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most 1 argument (%zd given)", method, count + named);
    return false;
  }
  if (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") != 0) {
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", method,
                 PyTuple_GET_ITEM(names, 0));
    return false;
  }
  if (count + named == 1) *timeout = args[0];
  return true;
}

// True: the future has finished. False: it was cancelled or did not finish in time; the exception is set.
bool wait_to_finish(future_object* self, PyObject* timeout) {
  if (!self->state.done()) {
    const auto deadline = deadline_of(timeout);
    if (!deadline) return false;
    const int done = future_wait(self, *deadline);
    if (done < 0) return false;
    if (done == 0) {
      raise_futures_error("TimeoutError", nullptr);
      return false;
    }
  }
  if (self->state.now() == progress::finished) return true;
  raise_futures_error("CancelledError", nullptr);
  return false;
}

PyObject* future_result(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  future_object* const self = as_future(object);
  PyObject* timeout = nullptr;
  if (!parse_timeout("result", args, count, names, &timeout) || !wait_to_finish(self, timeout))
    return nullptr;
  if (self->exception == nullptr || self->exception == Py_None) {
    return Py_NewRef(self->result != nullptr ? self->result : Py_None);
  }
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(self->exception)), self->exception);
  return nullptr;
}

PyObject* future_exception(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  future_object* const self = as_future(object);
  PyObject* timeout = nullptr;
  if (!parse_timeout("exception", args, count, names, &timeout) || !wait_to_finish(self, timeout))
    return nullptr;
  return Py_NewRef(self->exception != nullptr ? self->exception : Py_None);
}

PyObject* boolean_or_error(int outcome) { return outcome < 0 ? nullptr : PyBool_FromLong(outcome); }

PyObject* method_cancel(PyObject* self, PyObject*) {
  return boolean_or_error(future_cancel(as_future(self)));
}

PyObject* method_start(PyObject* self, PyObject*) {
  const int outcome = future_start(as_future(self));
  if (outcome >= 0 || !PyErr_ExceptionMatches(PyExc_RuntimeError)) return boolean_or_error(outcome);
  PyErr_Clear();
  return PyObject_CallMethod(reinterpret_cast<PyObject*>(Py_TYPE(self)), "_refuse_start", "O", self);
}

// For what runs elsewhere: pending -> running, if it still is pending. No notice: nothing waits for that.
PyObject* method_note_running(PyObject* self, PyObject*) {
  return PyBool_FromLong(as_future(self)->state.start());
}

PyObject* method_cancelled(PyObject* self, PyObject*) {
  const progress now = as_future(self)->state.now();
  return PyBool_FromLong(now == progress::cancelled || now == progress::cancelled_and_notified);
}

PyObject* method_running(PyObject* self, PyObject*) {
  return PyBool_FromLong(as_future(self)->state.now() == progress::running);
}

PyObject* method_done(PyObject* self, PyObject*) { return PyBool_FromLong(as_future(self)->state.done()); }

PyObject* method_set_result(PyObject* self, PyObject* result) {
  if (!future_complete(as_future(self), result, nullptr)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* method_set_exception(PyObject* self, PyObject* exception) {
  if (!future_complete(as_future(self), nullptr, exception)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* method_add_done_callback(PyObject* object, PyObject* callback) {
  future_object* const self = as_future(object);
  if (!self->state.done()) {
    if (self->callbacks == nullptr) self->callbacks = PyList_New(0);
    if (self->callbacks == nullptr) return nullptr;
    if (PyList_Append(self->callbacks, callback) != 0) return nullptr;
    Py_RETURN_NONE;
  }
  PyObject* const done = PyObject_CallOneArg(callback, object);
  if (done == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_Exception)) return nullptr;
    PyObject* const report = state_of(Py_TYPE(object)).futures.report_callback.get();
    PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != nullptr) PyException_SetTraceback(value, trace);
    PyObject* const reported = PyObject_CallFunctionObjArgs(report, object, value, nullptr);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    if (reported == nullptr) return nullptr;
    Py_DECREF(reported);
  }
  Py_XDECREF(done);
  Py_RETURN_NONE;
}

PyObject* method_snapshot(PyObject* object, PyObject*) {
  future_object* const self = as_future(object);
  switch (self->state.now()) {
    case progress::finished:
      return Py_BuildValue("OOOO", Py_True, Py_False, self->result != nullptr ? self->result : Py_None,
                           self->exception != nullptr ? self->exception : Py_None);
    case progress::cancelled:
    case progress::cancelled_and_notified:
      return Py_BuildValue("OOOO", Py_True, Py_True, Py_None, Py_None);
    default:
      return Py_BuildValue("OOOO", Py_False, Py_False, Py_None, Py_None);
  }
}

}  // namespace

PyObject* future_repr(PyObject* object) {
  static const char* const words[] = {"pending", "running", "cancelled", "cancelled", "finished"};
  future_object* const self = as_future(object);
  const progress now = self->state.now();
  const char* const name = py::type_name(Py_TYPE(object));
  const auto address = reinterpret_cast<void*>(object);
  if (now != progress::finished) {
    return PyUnicode_FromFormat("<%s at %p state=%s>", name, address, words[static_cast<std::size_t>(now)]);
  }
  const bool raised = self->exception != nullptr && self->exception != Py_None;
  PyObject* const outcome = raised ? self->exception : self->result != nullptr ? self->result : Py_None;
  return PyUnicode_FromFormat("<%s at %p state=finished %s %s>", name, address,
                              raised ? "raised" : "returned", py::type_name(Py_TYPE(outcome)));
}

PyMethodDef future_methods[] = {
    {"result", reinterpret_cast<PyCFunction>(future_result), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"exception", reinterpret_cast<PyCFunction>(future_exception), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"cancel", method_cancel, METH_NOARGS, nullptr},
    {"cancelled", method_cancelled, METH_NOARGS, nullptr},
    {"running", method_running, METH_NOARGS, nullptr},
    {"done", method_done, METH_NOARGS, nullptr},
    {"add_done_callback", method_add_done_callback, METH_O, nullptr},
    {"_note_running", method_note_running, METH_NOARGS, nullptr},
    {"set_running_or_notify_cancel", method_start, METH_NOARGS, nullptr},
    {"set_result", method_set_result, METH_O, nullptr},
    {"set_exception", method_set_exception, METH_O, nullptr},
    {"_get_snapshot", method_snapshot, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga
