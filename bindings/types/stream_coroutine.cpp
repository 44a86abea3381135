// SPDX-License-Identifier: MIT
#include "bindings/types/stream_coroutine.h"

#include <utility>

#include "bindings/py/raised.h"

namespace triga::streams {
namespace {

using phase = coroutine_object::phase;

coroutine_object& fields(PyObject* self) noexcept { return *reinterpret_cast<coroutine_object*>(self); }

void finish(coroutine_object& self) {
  self.state = phase::finished;
  self.yields = false;
  Py_CLEAR(self.awaited);
  Py_CLEAR(self.argument);
  Py_CLEAR(self.owner);
}

// Something is waited for, or nothing and it is over.
PySendResult outcome_of(coroutine_object& self, PyObject* result, PyObject** answer);

void wait_is_over(coroutine_object& self) {
  Py_CLEAR(self.awaited);
  self.resumed = true;
  if (self.kind->after_wait == nullptr) return;
  py::ref raised = py::take_raised();
  self.kind->after_wait(self);
  if (raised) py::raise_again(std::move(raised));
}

PySendResult fail(coroutine_object& self, PyObject** answer) {
  finish(self);
  *answer = nullptr;
  return PYGEN_ERROR;
}

// Runs on from the end of a wait (or from the start) to the next one.
PySendResult run(coroutine_object& self, PyObject** answer) {
  self.state = phase::running;
  return outcome_of(self, self.kind->advance(self), answer);
}

// Sends to what is waited for; runs on if that is over by then.
PySendResult resume(coroutine_object& self, PyObject* sent, PyObject** answer) {
  self.state = phase::running;
  PyObject* value = nullptr;
  const PySendResult got = PyIter_Send(self.awaited, sent, &value);
  if (got == PYGEN_NEXT) {
    self.state = phase::suspended;
    *answer = value;
    return PYGEN_NEXT;
  }
  Py_XDECREF(value);
  wait_is_over(self);
  return got == PYGEN_RETURN ? run(self, answer) : fail(self, answer);
}

PySendResult outcome_of(coroutine_object& self, PyObject* result, PyObject** answer) {
  if (result != nullptr) {
    finish(self);
    *answer = result;
    return PYGEN_RETURN;
  }
  if (PyErr_Occurred() != nullptr) return fail(self, answer);
  if (self.awaited != nullptr) return resume(self, Py_None, answer);
  self.state = phase::suspended;
  *answer = Py_NewRef(Py_None);
  return PYGEN_NEXT;
}

// False with the exception of a coroutine that cannot be sent to now.
bool may_resume(const coroutine_object& self) {
  if (self.state == phase::running) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return false;
  }
  if (self.state != phase::finished) return true;
  PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
  return false;
}

PySendResult coroutine_am_send(PyObject* object, PyObject* sent, PyObject** answer) {
  coroutine_object& self = fields(object);
  *answer = nullptr;
  if (!may_resume(self)) return PYGEN_ERROR;
  const py::ref alive = py::ref::borrow(object);
  if (self.state == phase::created) {
    if (sent != Py_None) {
      PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
      return PYGEN_ERROR;
    }
    return run(self, answer);
  }
  if (self.awaited != nullptr) return resume(self, sent, answer);
  self.yields = false;
  wait_is_over(self);
  return run(self, answer);
}

// The answer as an iterator's or a generator's method gives it: the end is a StopIteration with the result.
PyObject* as_iteration(PySendResult got, PyObject* answer) {
  if (got != PYGEN_RETURN) return answer;
  const py::ref result = py::ref::steal(answer);
  PyErr_SetObject(PyExc_StopIteration, result.get());  // bytes or None, which it does not take apart
  return nullptr;
}

PyObject* coroutine_send(PyObject* self, PyObject* sent) {
  PyObject* answer = nullptr;
  const PySendResult got = coroutine_am_send(self, sent, &answer);
  return as_iteration(got, answer);
}

PyObject* coroutine_next(PyObject* self) {
  PyObject* answer = nullptr;
  const PySendResult got = coroutine_am_send(self, Py_None, &answer);
  if (got == PYGEN_RETURN && answer == Py_None) {
    Py_DECREF(answer);
    return nullptr;  // an iterator's end without a value
  }
  return as_iteration(got, answer);
}

PyObject* coroutine_await(PyObject* self) {
  if (fields(self).state == phase::finished) {
    PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    return nullptr;
  }
  if (fields(self).awaited != nullptr || fields(self).yields) {
    PyErr_SetString(PyExc_RuntimeError, "coroutine is being awaited already");
    return nullptr;
  }
  return Py_NewRef(self);
}

// Sets the exception of throw(type or exception[, value[, traceback]]).
bool set_thrown(PyObject* const* args, Py_ssize_t count) {
  PyObject* const thrown = args[0];
  PyObject* const value = count > 1 && args[1] != Py_None ? args[1] : nullptr;
  PyObject* const traceback = count > 2 && args[2] != Py_None ? args[2] : nullptr;
  py::ref error;
  if (PyExceptionInstance_Check(thrown)) {
    error = py::ref::borrow(thrown);
  } else if (PyExceptionClass_Check(thrown)) {
    error = value != nullptr && PyExceptionInstance_Check(value) ? py::ref::borrow(value)
            : value != nullptr ? py::ref::steal(PyObject_CallOneArg(thrown, value))
                               : py::ref::steal(PyObject_CallNoArgs(thrown));
  } else {
    PyErr_Format(PyExc_TypeError,
                 "exceptions must be classes or instances deriving from BaseException, not %s",
                 Py_TYPE(thrown)->tp_name);
  }
  if (!error || (traceback != nullptr && PyException_SetTraceback(error.get(), traceback) < 0)) return false;
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  return true;
}

// Throws what is set into what is waited for. The answer as resume() gives it.
PySendResult throw_into_awaited(coroutine_object& self, PyObject** answer) {
  const py::ref error = py::take_raised();
  const py::ref method = py::ref::steal(PyObject_GetAttrString(self.awaited, "throw"));
  if (!method) {
    PyErr_Clear();
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
    wait_is_over(self);
    return fail(self, answer);
  }
  self.state = phase::running;
  PyObject* const yielded = PyObject_CallOneArg(method.get(), error.get());
  if (yielded != nullptr) {
    self.state = phase::suspended;
    *answer = yielded;
    return PYGEN_NEXT;
  }
  const bool returned = PyErr_ExceptionMatches(PyExc_StopIteration) != 0;
  if (returned) PyErr_Clear();  // none of the kinds asks for the value
  wait_is_over(self);
  return returned ? run(self, answer) : fail(self, answer);
}

PyObject* coroutine_throw(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  if (count < 1 || count > 3) {
    return PyErr_Format(PyExc_TypeError, "throw expected 1 to 3 arguments, got %zd", count);
  }
  coroutine_object& self = fields(object);
  if (!may_resume(self)) return nullptr;
  const py::ref alive = py::ref::borrow(object);
  if (!set_thrown(args, count)) return nullptr;
  PyObject* answer = nullptr;
  if (self.awaited == nullptr) {
    if (self.state == phase::suspended) wait_is_over(self);
    (void)fail(self, &answer);
    return nullptr;
  }
  const PySendResult got = throw_into_awaited(self, &answer);
  return as_iteration(got, answer);
}

PyObject* coroutine_close(PyObject* object, PyObject*) {
  coroutine_object& self = fields(object);
  if (self.state == phase::finished) Py_RETURN_NONE;
  if (self.state == phase::running) {
    PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    return nullptr;
  }
  const py::ref alive = py::ref::borrow(object);
  PyObject* thrown = PyExc_GeneratorExit;
  const bool started = self.state == phase::suspended;
  if (!started) {
    finish(self);
    Py_RETURN_NONE;
  }
  if (const py::ref yielded = py::ref::steal(coroutine_throw(object, &thrown, 1))) {
    PyErr_SetString(PyExc_RuntimeError, "coroutine ignored GeneratorExit");
    return nullptr;
  }
  if (PyErr_ExceptionMatches(PyExc_GeneratorExit) == 0 && PyErr_ExceptionMatches(PyExc_StopIteration) == 0) {
    return nullptr;
  }
  PyErr_Clear();
  Py_RETURN_NONE;
}

PyObject* coroutine_repr(PyObject* self) {
  return PyUnicode_FromFormat("<coroutine object %s at %p>", fields(self).kind->name, self);
}

PyObject* get_qualified_name(PyObject* self, void*) { return PyUnicode_FromString(fields(self).kind->name); }

PyObject* get_running(PyObject* self, void*) { return PyBool_FromLong(fields(self).state == phase::running); }

// As a coroutine of Python's: one that was never awaited is a mistake to tell of, one that waits is closed.
void coroutine_finalize(PyObject* object) {
  coroutine_object& self = fields(object);
  if (self.state == phase::finished || self.state == phase::running) return;
  py::ref raised = py::take_raised();
  if (self.state == phase::created) {
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%s' was never awaited", self.kind->name) < 0) {
      PyErr_WriteUnraisable(object);
    }
  } else if (!py::ref::steal(coroutine_close(object, nullptr))) {
    PyErr_WriteUnraisable(object);
  }
  if (raised) py::raise_again(std::move(raised));
}

int coroutine_traverse(PyObject* object, visitproc visit, void* arg) {
  coroutine_object& self = fields(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self.owner);
  Py_VISIT(self.argument);
  Py_VISIT(self.awaited);
  return 0;
}

int coroutine_clear(PyObject* object) {
  finish(fields(object));
  return 0;
}

void coroutine_dealloc(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  if (fields(object).state != phase::finished && PyObject_CallFinalizerFromDealloc(object) < 0) return;
  PyObject_GC_UnTrack(object);
  coroutine_clear(object);
  PyObject_GC_Del(object);
  Py_DECREF(type);
}

PyMethodDef coroutine_methods[] = {
    {"send", coroutine_send, METH_O, "Resumes the coroutine; StopIteration has the result."},
    {"throw", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(coroutine_throw)), METH_FASTCALL,
     "Raises an exception where the coroutine waits."},
    {"close", coroutine_close, METH_NOARGS, "Raises GeneratorExit where the coroutine waits."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef coroutine_properties[] = {
    {"__name__", get_qualified_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_qualified_name, nullptr, nullptr, nullptr},
    {"cr_running", get_running, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot coroutine_slots[] = {
    {Py_tp_doc, const_cast<char*>("A coroutine of a stream.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(coroutine_dealloc)},
    {Py_tp_finalize, reinterpret_cast<void*>(coroutine_finalize)},
    {Py_tp_traverse, reinterpret_cast<void*>(coroutine_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(coroutine_clear)},
    {Py_tp_repr, reinterpret_cast<void*>(coroutine_repr)},
    {Py_tp_iternext, reinterpret_cast<void*>(coroutine_next)},
    {Py_am_await, reinterpret_cast<void*>(coroutine_await)},
    {Py_am_send, reinterpret_cast<void*>(coroutine_am_send)},
    {Py_tp_methods, coroutine_methods},
    {Py_tp_getset, coroutine_properties},
    {0, nullptr},
};

PyType_Spec coroutine_spec = {
    .name = "triga._core.StreamCoroutine",
    .basicsize = sizeof(coroutine_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = coroutine_slots,
};

}  // namespace

PyObject* make_coroutine(PyTypeObject* type, const coroutine_kind& kind, PyObject* owner, PyObject* argument,
                         Py_ssize_t count) {
  auto* self = PyObject_GC_New(coroutine_object, type);
  if (self == nullptr) return nullptr;
  self->kind = &kind;
  self->owner = Py_NewRef(owner);
  self->argument = Py_XNewRef(argument);
  self->awaited = nullptr;
  self->count = count;
  self->offset = 0;
  self->state = phase::created;
  self->yields = self->resumed = false;
  PyObject_GC_Track(self);
  return reinterpret_cast<PyObject*>(self);
}

bool wait_for(coroutine_object& self, PyObject* awaitable) {
  const PyAsyncMethods* async = Py_TYPE(awaitable)->tp_as_async;
  if (PyCoro_CheckExact(awaitable)) {
    self.awaited = Py_NewRef(awaitable);
  } else if (async != nullptr && async->am_await != nullptr) {
    self.awaited = async->am_await(awaitable);
  } else {
    PyErr_Format(PyExc_TypeError, "object %.200s can't be used in 'await' expression",
                 Py_TYPE(awaitable)->tp_name);
  }
  return self.awaited != nullptr;
}

py::ref make_coroutine_type(PyObject* core) {
  return py::ref::steal(PyType_FromModuleAndSpec(core, &coroutine_spec, nullptr));
}

}  // namespace triga::streams
