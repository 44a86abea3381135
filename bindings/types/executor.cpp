// SPDX-License-Identifier: MIT
// _core.ExecutorCore: the native half of ThreadPoolExecutor. What runs for each task is here; what runs for
// each executor or thread (names, initializers, shutdown) is Python, in triga/_threads/executor.py.
#include "bindings/types/executor.h"

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <cstddef>

#include "bindings/module_state.h"
#include "bindings/py/type_name.h"
#include "bindings/types/future.h"
#include "bindings/types/work_queue.h"

namespace triga {
namespace {

struct executor_object {
  PyObject_HEAD PyObject* queue;  // work_queue_object, from __init__ on
  PyObject* broken;               // False, or why the executor is broken
  PyObject* globals;  // the dict of concurrent.futures.thread, whose _shutdown says that the interpreter ends
  PyObject*
      resolve;  // resolve(fn, args, kwargs) -> task, for an executor with its own worker context, or nullptr
};

executor_object* as_executor(PyObject* self) noexcept { return reinterpret_cast<executor_object*>(self); }

exec::thread_pool& pool_of(executor_object* self) noexcept { return as_work_queue(self->queue)->pool; }

// _open(max_workers, idle_after_each_task, globals, resolve)
PyObject* executor_open(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  if (count != 4) return PyErr_Format(PyExc_TypeError, "_open expected 4 arguments, got %zd", count);
  const Py_ssize_t workers =
      PyNumber_AsSsize_t(args[0], nullptr);  // clipped: a pool may be as large as it likes
  if (workers == -1 && PyErr_Occurred()) return nullptr;
  if (!PyDict_Check(args[2])) {
    PyErr_SetString(PyExc_TypeError, "_open expects the dict of a module");
    return nullptr;
  }
  const auto rule = args[1] == Py_True ? exec::idle_rule::after_each_task : exec::idle_rule::when_queue_empty;
  PyObject* const queue =
      work_queue_new(state_of(Py_TYPE(object)),
                     {.max_workers = static_cast<std::size_t>(workers), .idle = rule, .spins = true});
  if (queue == nullptr) return nullptr;
  executor_object* const self = as_executor(object);
  Py_XSETREF(self->queue, queue);
  Py_XSETREF(self->broken, Py_NewRef(Py_False));
  Py_XSETREF(self->globals, Py_NewRef(args[2]));
  Py_XSETREF(self->resolve, args[3] != Py_None ? Py_NewRef(args[3]) : nullptr);
  return Py_NewRef(queue);
}

// True: tasks may be submitted. The Python half raises what is to be raised.
bool may_submit(PyObject* object) {
  executor_object* const self = as_executor(object);
  if (self->queue == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "ThreadPoolExecutor.__init__() was not called");
    return false;
  }
  if (self->broken == Py_False && !pool_of(self).closed() &&
      PyDict_GetItemString(self->globals, "_shutdown") != Py_True) {
    return true;
  }
  PyObject* const refused = PyObject_CallMethod(object, "_refuse", nullptr);
  if (refused != nullptr) {
    Py_DECREF(refused);
    PyErr_SetString(PyExc_RuntimeError, "cannot schedule new futures after shutdown");
  }
  return false;
}

// Fills in the call. False: an exception is set.
bool set_call(executor_object* self, future_object* future, PyObject* function, PyObject* const* args,
              Py_ssize_t count, PyObject* names) {
  const auto positional = static_cast<std::size_t>(count);
  if (self->resolve == nullptr) return future->call.set(function, args, positional, names);
  future_call given;
  if (!given.set(function, args, positional, names)) return false;
  PyObject* const args_tuple = given.args_tuple();
  PyObject* const kwargs = given.kwargs_dict();
  PyObject* const task =
      args_tuple != nullptr && kwargs != nullptr
          ? PyObject_CallFunctionObjArgs(self->resolve, function, args_tuple, kwargs, nullptr)
          : nullptr;
  Py_XDECREF(args_tuple);
  Py_XDECREF(kwargs);
  given.clear();
  const bool well = task != nullptr && future->call.set(task, nullptr, 0, nullptr);
  Py_XDECREF(task);
  return well;
}

PyObject* submit_one(PyObject* object, PyObject* function, PyObject* const* args, Py_ssize_t count,
                     PyObject* names) {
  if (!may_submit(object)) return nullptr;
  executor_object* const self = as_executor(object);
  future_object* const future = future_new(state_of(Py_TYPE(object)));
  if (future == nullptr) return nullptr;
  if (!set_call(self, future, function, args, count, names)) {
    Py_DECREF(future);
    return nullptr;
  }
  Py_INCREF(future);  // the queue's
  switch (pool_of(self).submit(future->call)) {
    case exec::submit_status::accepted:
      break;
    case exec::submit_status::closed:
      // Not reached while the GIL is held since may_submit(); set_call() may have run Python code.
      Py_DECREF(future);
      Py_DECREF(future);
      PyErr_SetString(PyExc_RuntimeError, "cannot schedule new futures after shutdown");
      return nullptr;
    case exec::submit_status::needs_worker: {
      PyObject* const started = PyObject_CallMethod(object, "_adjust_thread_count", nullptr);
      if (started == nullptr) {
        pool_of(self).worker_not_started();
        Py_DECREF(future);
        return nullptr;
      }
      Py_DECREF(started);
    }
  }
  return reinterpret_cast<PyObject*>(future);
}

PyObject* executor_submit(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count == 0) {
    return PyErr_Format(PyExc_TypeError, "%s.submit() missing 1 required positional argument: 'fn'",
                        py::type_name(Py_TYPE(self)));
  }
  return submit_one(self, args[0], args + 1, count - 1, names);
}

// _submit_each(fn, iterable of argument tuples) -> list of futures
PyObject* executor_submit_each(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 2) return PyErr_Format(PyExc_TypeError, "_submit_each expected 2 arguments, got %zd", count);
  PyObject* const calls = PyObject_GetIter(args[1]);
  PyObject* const futures = calls != nullptr ? PyList_New(0) : nullptr;
  bool well = futures != nullptr;
  while (well) {
    PyObject* const call = PyIter_Next(calls);
    if (call == nullptr) break;
    PyObject* const future = PyTuple_Check(call) ? submit_one(self, args[0], &PyTuple_GET_ITEM(call, 0),
                                                              PyTuple_GET_SIZE(call), nullptr)
                                                 : PyErr_Format(PyExc_TypeError, "_submit_each needs tuples");
    Py_DECREF(call);
    well = future != nullptr && PyList_Append(futures, future) == 0;
    Py_XDECREF(future);
  }
  Py_XDECREF(calls);
  if (well && PyErr_Occurred() == nullptr) return futures;
  Py_XDECREF(futures);
  return nullptr;
}

PyObject* get_shutdown(PyObject* self, void*) {
  return PyBool_FromLong(as_executor(self)->queue != nullptr && pool_of(as_executor(self)).closed());
}

int set_shutdown(PyObject* self, PyObject* value, void*) {
  const int shut = value != nullptr ? PyObject_IsTrue(value) : -1;
  if (shut < 0) return -1;
  if (shut == 1 && as_executor(self)->queue != nullptr) pool_of(as_executor(self)).close();
  return 0;
}

PyObject* get_broken(PyObject* self, void*) {
  PyObject* const broken = as_executor(self)->broken;
  return Py_NewRef(broken != nullptr ? broken : Py_False);
}

int set_broken(PyObject* self, PyObject* value, void*) {
  Py_XSETREF(as_executor(self)->broken, Py_NewRef(value != nullptr ? value : Py_False));
  return 0;
}

PyObject* get_queue(PyObject* self, void*) {
  PyObject* const queue = as_executor(self)->queue;
  if (queue == nullptr) PyErr_SetString(PyExc_AttributeError, "_work_queue");
  return Py_XNewRef(queue);
}

int executor_traverse(PyObject* object, visitproc visit, void* arg) {
  executor_object* const self = as_executor(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->queue);
  Py_VISIT(self->broken);
  Py_VISIT(self->globals);
  Py_VISIT(self->resolve);
  return 0;
}

// An executor that is collected lets its workers finish what is queued and end.
int executor_clear(PyObject* object) {
  executor_object* const self = as_executor(object);
  if (self->queue != nullptr) pool_of(self).close();
  Py_CLEAR(self->queue);
  Py_CLEAR(self->broken);
  Py_CLEAR(self->globals);
  Py_CLEAR(self->resolve);
  return 0;
}

void executor_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  executor_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef methods[] = {
    {"submit", reinterpret_cast<PyCFunction>(executor_submit), METH_FASTCALL | METH_KEYWORDS,
     "submit($self, fn, /, *args, **kwargs)\n--\n\nSchedules fn(*args, **kwargs) and returns a Future for "
     "its outcome."},
    {"_submit_each", reinterpret_cast<PyCFunction>(executor_submit_each), METH_FASTCALL, nullptr},
    {"_open", reinterpret_cast<PyCFunction>(executor_open), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef getset[] = {
    {"_shutdown", get_shutdown, set_shutdown, nullptr, nullptr},
    {"_broken", get_broken, set_broken, nullptr, nullptr},
    {"_work_queue", get_queue, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(executor_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(executor_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(executor_clear)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, nullptr},
};

PyType_Spec spec = {
    .name = "triga._core.ExecutorCore",
    .basicsize = sizeof(executor_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

}  // namespace

void add_executor_type(PyObject* module) {
  futures_state& state = state_of(module).futures;
  state.executor_core = py::ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!state.executor_core || PyModule_AddObjectRef(module, "ExecutorCore", state.executor_core.get()) != 0) {
    throw pybind11::error_already_set();
  }
}

}  // namespace triga
