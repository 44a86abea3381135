// SPDX-License-Identifier: MIT
// The awaitable of one socket operation: asyncio's coroutine without its frame.
#include "bindings/types/socket_operation.h"

#include <Python.h>
#include <structmember.h>

#include <cerrno>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/error.h"
#include "bindings/py/method.h"
#include "bindings/py/throw_raised.h"
#include "runtime/trace/counters.h"

namespace triga::sockets {
namespace {

state& types_of(PyObject* self) { return state_of(Py_TYPE(self)).sockets; }

PyObject* call(PyObject* object, const py::ref& name) {
  return PyObject_CallMethodNoArgs(object, name.get());
}

void disarm(PyObject* self) {
  operation_object& op = operation(self);
  if (!op.armed) return;
  op.armed = false;
  loops::core_of(op.loop).disarm(op.fd, is_of_writer(op.what), self);
}

void release_memory(operation_object& op) {
  if (op.view.obj != nullptr) PyBuffer_Release(&op.view);
}

// The operation is over: nothing that it refers to is needed any more.
void finish(PyObject* self) {
  disarm(self);
  operation_object& op = operation(self);
  op.state = phase::finished;
  release_memory(op);
  Py_CLEAR(op.waiting);
  Py_CLEAR(op.future);
  Py_CLEAR(op.result);
  Py_CLEAR(op.argument);
  Py_CLEAR(op.argument2);
  Py_CLEAR(op.sock);
}

// Makes the future that the task is to wait for, and has the loop tell of readiness.
bool wait(state& types, PyObject* self) {
  operation_object& op = operation(self);
  Py_XSETREF(op.future, call(op.loop, types.names.create_future));
  if (op.future == nullptr) return false;
  const PyAsyncMethods* async = Py_TYPE(op.future)->tp_as_async;
  if (async == nullptr || async->am_await == nullptr) {
    PyErr_Format(PyExc_TypeError, "create_future() returned %R, which cannot be awaited", op.future);
    return false;
  }
  Py_XSETREF(op.waiting, async->am_await(op.future));
  if (op.waiting == nullptr) return false;
  if (!loops::core_of(op.loop).arm(op.fd, is_of_writer(op.what), op.sock, self,
                                   op.what == kind::wait_writable)) {
    return false;
  }
  op.armed = true;
  return true;
}

// What the system call, or a send that went on meanwhile, came to; nothing yet if it would block.
attempt step(state& types, PyObject* self, py::ref& result) {
  operation_object& op = operation(self);
  if (op.state == phase::created) {
    op.state = phase::running;
    if (!prepare(types, op)) return attempt::failed;
    if (op.what == kind::wait_writable) return attempt::would_block;
  } else if (op.error != 0) {
    errno = op.error;
    PyErr_SetFromErrno(PyExc_OSError);
    return attempt::failed;
  } else if (op.result != nullptr) {
    result = py::ref::steal(std::exchange(op.result, nullptr));
    return attempt::done;
  } else if (op.what == kind::wait_writable) {
    result = py::ref::borrow(Py_None);
    return attempt::done;
  }
  return try_once(types, op, result);
}

// Goes on until the operation is over or waits: what PyIter_Send() asks of the future's iterator is handed
// on.
PySendResult go_on(PyObject* self, PyObject** result) {
  operation_object& op = operation(self);
  state& types = types_of(self);
  py::ref value;
  const attempt outcome = step(types, self, value);
  if (outcome == attempt::would_block && wait(types, self)) {
    op.state = phase::waiting;
    const PySendResult sent = PyIter_Send(op.waiting, Py_None, result);
    if (sent == PYGEN_NEXT) return sent;
    if (sent == PYGEN_RETURN) {
      Py_CLEAR(*result);
      PyErr_SetString(PyExc_RuntimeError, "a new future was done before its operation");
    }
  }
  finish(self);
  if (outcome == attempt::done) trace::count(trace::counter::socket_operations);
  *result = outcome == attempt::done ? value.release() : nullptr;
  return *result != nullptr ? PYGEN_RETURN : PYGEN_ERROR;
}

bool may_send(const operation_object& op) {
  if (op.state == phase::created || op.state == phase::waiting) return true;
  PyErr_SetString(PyExc_RuntimeError, op.state == phase::finished ? "cannot reuse already awaited coroutine"
                                                                  : "coroutine already executing");
  return false;
}

// ---- the coroutine protocol

PySendResult operation_send(PyObject* self, PyObject* value, PyObject** result) {
  operation_object& op = operation(self);
  *result = nullptr;
  if (!may_send(op)) return PYGEN_ERROR;
  const py::ref alive = py::ref::borrow(self);
  if (op.state == phase::created) {
    if (value == Py_None) return go_on(self, result);
    PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
    return PYGEN_ERROR;
  }
  op.state = phase::running;
  const PySendResult sent = PyIter_Send(op.waiting, value, result);
  if (sent == PYGEN_NEXT) {
    op.state = phase::waiting;
    return sent;
  }
  if (sent == PYGEN_ERROR) {  // the future was cancelled
    finish(self);
    return sent;
  }
  Py_CLEAR(*result);
  return go_on(self, result);
}

// StopIteration carries the result, as coroutines have it.
PyObject* as_iteration(PySendResult sent, PyObject* result) {
  if (sent != PYGEN_RETURN) return result;
  const py::ref value = py::ref::steal(result);
  if (value.get() == Py_None) {
    PyErr_SetNone(PyExc_StopIteration);
  } else if (PyTuple_Check(value.get())) {  // would be taken for the exception's arguments
    const py::ref stop = py::ref::steal(PyObject_CallOneArg(PyExc_StopIteration, value.get()));
    if (stop) PyErr_SetObject(PyExc_StopIteration, stop.get());
  } else {
    PyErr_SetObject(PyExc_StopIteration, value.get());
  }
  return nullptr;
}

PyObject* operation_next(PyObject* self) {
  PyObject* result = nullptr;
  const PySendResult sent = operation_send(self, Py_None, &result);
  if (sent == PYGEN_RETURN && result == Py_None) {  // an iterator may end without StopIteration
    Py_DECREF(result);
    return nullptr;
  }
  return as_iteration(sent, result);
}

PyObject* operation_send_method(PyObject* self, PyObject* value) {
  PyObject* result = nullptr;
  const PySendResult sent = operation_send(self, value, &result);
  return as_iteration(sent, result);
}

// throw(exception) and the older throw(type[, value[, traceback]]).
void raise_given(PyObject* const* args, Py_ssize_t count) {
  PyObject* given = args[0];
  if (PyExceptionInstance_Check(given)) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(given)), given);
  } else if (PyExceptionClass_Check(given)) {
    PyErr_SetObject(given, count > 1 ? args[1] : nullptr);
  } else {
    PyErr_SetString(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException");
  }
}

PyObject* operation_throw(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count < 1 || count > 3) return PyErr_Format(PyExc_TypeError, "throw() takes 1 to 3 arguments");
  operation_object& op = operation(self);
  if (!may_send(op)) return nullptr;
  const py::ref alive = py::ref::borrow(self);
  if (op.state == phase::created) {
    finish(self);
    raise_given(args, count);
    return nullptr;
  }
  const py::ref method = py::ref::steal(PyObject_GetAttrString(op.waiting, "throw"));
  PyObject* result =
      method ? PyObject_Vectorcall(method.get(), args, static_cast<std::size_t>(count), nullptr) : nullptr;
  if (result == nullptr) finish(self);
  return result;
}

PyObject* operation_close(PyObject* self, PyObject*) {
  operation_object& op = operation(self);
  if (op.state == phase::running) {
    PyErr_SetString(PyExc_RuntimeError, "coroutine already executing");
    return nullptr;
  }
  if (op.state != phase::finished) finish(self);
  Py_RETURN_NONE;
}

// ---- names

const char* name_of(kind what) {
  switch (what) {
    case kind::recv:
      return "sock_recv";
    case kind::recv_into:
      return "sock_recv_into";
    case kind::recvfrom:
      return "sock_recvfrom";
    case kind::recvfrom_into:
      return "sock_recvfrom_into";
    case kind::sendall:
      return "sock_sendall";
    case kind::sendto:
      return "sock_sendto";
    case kind::accept:
      return "sock_accept";
    case kind::wait_writable:
      return "_sock_wait_writable";
  }
  return "";
}

PyObject* get_name(PyObject* self, void*) { return PyUnicode_FromString(name_of(operation(self).what)); }

PyObject* get_qualname(PyObject* self, void*) {
  return PyUnicode_FromFormat("BaseSelectorEventLoop.%s", name_of(operation(self).what));
}

PyObject* operation_repr(PyObject* self) {
  return PyUnicode_FromFormat("<coroutine object BaseSelectorEventLoop.%s at %p>",
                              name_of(operation(self).what), self);
}

// ---- life

int operation_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const operation_object& op = operation(self);
  for (PyObject* each :
       {op.loop, op.sock, op.argument, op.argument2, op.future, op.waiting, op.result, op.view.obj}) {
    Py_VISIT(each);
  }
  return 0;
}

// While it is armed the loop refers to it: a collected cycle leaves the watch before it goes.
int operation_clear(PyObject* self) {
  if (operation(self).loop != nullptr) finish(self);
  Py_CLEAR(operation(self).loop);
  return 0;
}

void operation_finalize(PyObject* self) {
  if (operation(self).state != phase::created) return;
  py::error_aside before;
  if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine 'BaseSelectorEventLoop.%s' was never awaited",
                       name_of(operation(self).what)) < 0) {
    PyErr_WriteUnraisable(self);
  }
  before.put_back();
}

void operation_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  if (operation(self).state == phase::created && PyObject_CallFinalizerFromDealloc(self) < 0) return;
  PyObject_GC_UnTrack(self);
  if (operation(self).weak_references != nullptr) PyObject_ClearWeakRefs(self);
  operation_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* self_as_awaitable(PyObject* self) { return Py_NewRef(self); }

PyMethodDef operation_methods[] = {
    {"send", operation_send_method, METH_O, "Runs the operation up to its next wait."},
    {"throw", py::as_method(operation_throw), METH_FASTCALL,
     "Raises an exception where the operation waits."},
    {"close", operation_close, METH_NOARGS, "Ends the operation."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef operation_properties[] = {
    {"__name__", get_name, nullptr, nullptr, nullptr},
    {"__qualname__", get_qualname, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef operation_layout[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(operation_object, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot operation_slots[] = {
    {Py_tp_doc, const_cast<char*>("An operation on a socket, to be awaited.")},
    {Py_am_await, reinterpret_cast<void*>(self_as_awaitable)},
    {Py_am_send, reinterpret_cast<void*>(operation_send)},
    {Py_tp_iter, reinterpret_cast<void*>(self_as_awaitable)},
    {Py_tp_iternext, reinterpret_cast<void*>(operation_next)},
    {Py_tp_repr, reinterpret_cast<void*>(operation_repr)},
    {Py_tp_methods, operation_methods},
    {Py_tp_getset, operation_properties},
    {Py_tp_members, operation_layout},
    {Py_tp_traverse, reinterpret_cast<void*>(operation_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(operation_clear)},
    {Py_tp_finalize, reinterpret_cast<void*>(operation_finalize)},
    {Py_tp_dealloc, reinterpret_cast<void*>(operation_dealloc)},
    {0, nullptr},
};

PyType_Spec operation_spec = {
    .name = "triga._core.SocketOperation",
    .basicsize = sizeof(operation_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = operation_slots,
};

}  // namespace

PyObject* make(state& types, PyObject* loop, kind what, PyObject* sock, PyObject* argument,
               PyObject* argument2) {
  PyTypeObject* type = types.type.type();
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  operation_object& op = operation(self);
  op.loop = Py_NewRef(loop);
  op.sock = Py_NewRef(sock);
  op.argument = Py_XNewRef(argument);
  op.argument2 = Py_XNewRef(argument2);
  op.what = what;
  return self;
}

// The task is woken, and tries again in its own step: what arrives for an operation that was cancelled
// meanwhile stays in the kernel. Only a send goes on here, as its task has nothing to do until all is sent.
void on_ready(PyObject* self) {
  operation_object& op = operation(self);
  if (op.future == nullptr) return;
  state& types = types_of(self);
  const py::ref done = py::ref::steal(call(op.future, types.names.done));
  if (!done || done.get() == Py_True) return;
  if (op.what == kind::sendall) {
    py::ref result;
    switch (try_once(types, op, result)) {
      case attempt::would_block:
        return;
      case attempt::done:
        op.result = result.release();
        break;
      case attempt::failed:
        PyErr_Clear();
        break;
    }
  }
  const py::ref alive = py::ref::borrow(self);
  const py::ref future = py::ref::borrow(op.future);
  disarm(self);
  (void)py::ref::steal(PyObject_CallMethodOneArg(future.get(), types.names.set_result.get(), Py_None));
}

void make_type(PyObject* core) {
  state& types = state_of(core).sockets;
  types.type = py::ref::steal(PyType_FromModuleAndSpec(core, &operation_spec, nullptr));
  if (!types.type || !types.names.intern()) py::throw_raised();
  types.transports = &state_of(core).transports;
  state_of(core).loop.operation = types.type;
}

}  // namespace triga::sockets
