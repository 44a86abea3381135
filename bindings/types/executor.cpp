// SPDX-License-Identifier: MIT
// _core.ExecutorCore: the native half of ThreadPoolExecutor. What runs for each task is here and in
// executor_submit.cpp; what runs for each executor or thread (names, initializers, shutdown) is Python, in
// triga/_threads/executor.py.
#include "bindings/types/executor.h"

#include <Python.h>

#include <cstddef>

#include "bindings/module_state.h"
#include "bindings/py/seconds.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/executor_layout.h"
#include "bindings/types/executor_submit.h"

namespace triga {
namespace {

// The two limits that an executor may have; None is no limit. False: an exception is set.
bool read_limits(PyObject* max_queue, PyObject* idle_timeout, exec::thread_pool::options& options) {
  if (max_queue != Py_None) {
    const Py_ssize_t most = PyNumber_AsSsize_t(max_queue, nullptr);
    if (most == -1 && PyErr_Occurred()) return false;
    options.max_queued = static_cast<std::size_t>(most);
  }
  if (idle_timeout != Py_None) {
    const auto patience = py::seconds(idle_timeout);
    if (!patience) return false;
    options.idle_timeout = *patience;
    // Tokens that outlive their workers would have a task wait for nobody.
    options.idle = exec::idle_rule::when_queue_empty;
  }
  return true;
}

// _open(max_workers, idle_after_each_task, globals, resolve, max_queue=None, idle_timeout=None,
// copy_context=False)
PyObject* executor_open(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  if (count != 4 && count != 7) {
    return PyErr_Format(PyExc_TypeError, "_open expected 4 or 7 arguments, got %zd", count);
  }
  const Py_ssize_t workers =
      PyNumber_AsSsize_t(args[0], nullptr);  // clipped: a pool may be as large as it likes
  if (workers == -1 && PyErr_Occurred()) return nullptr;
  if (!PyDict_Check(args[2])) {
    PyErr_SetString(PyExc_TypeError, "_open expects the dict of a module");
    return nullptr;
  }
  exec::thread_pool::options options{
      .max_workers = static_cast<std::size_t>(workers),
      .idle = args[1] == Py_True ? exec::idle_rule::after_each_task : exec::idle_rule::when_queue_empty,
      .spins = true};
  if (count == 7 && !read_limits(args[4], args[5], options)) return nullptr;
  PyObject* const queue = work_queue_new(state_of(Py_TYPE(object)), options);
  if (queue == nullptr) return nullptr;
  executor_object* const self = as_executor(object);
  self->copies_context = count == 7 && args[6] == Py_True;
  Py_XSETREF(self->queue, queue);
  Py_XSETREF(self->broken, Py_NewRef(Py_False));
  Py_XSETREF(self->globals, Py_NewRef(args[2]));
  Py_XSETREF(self->resolve, args[3] != Py_None ? Py_NewRef(args[3]) : nullptr);
  return Py_NewRef(queue);
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

PyMethodDef executor_methods[] = {
    {"submit", reinterpret_cast<PyCFunction>(executor_submit), METH_FASTCALL | METH_KEYWORDS,
     "submit($self, fn, /, *args, **kwargs)\n--\n\nSchedules fn(*args, **kwargs) and returns a Future for "
     "its outcome."},
    {"_submit_with", reinterpret_cast<PyCFunction>(executor_submit_with), METH_FASTCALL | METH_KEYWORDS,
     nullptr},
    {"_submit_each", reinterpret_cast<PyCFunction>(executor_submit_each), METH_FASTCALL, nullptr},
    {"_open", reinterpret_cast<PyCFunction>(executor_open), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef executor_getset[] = {
    {"_shutdown", get_shutdown, set_shutdown, nullptr, nullptr},
    {"_broken", get_broken, set_broken, nullptr, nullptr},
    {"_work_queue", get_queue, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot executor_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(executor_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(executor_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(executor_clear)},
    {Py_tp_methods, executor_methods},
    {Py_tp_getset, executor_getset},
    {0, nullptr},
};

PyType_Spec executor_spec = {
    .name = "triga._core.ExecutorCore",
    .basicsize = sizeof(executor_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = executor_slots,
};

}  // namespace

void add_executor_type(PyObject* module) {
  futures_state& state = state_of(module).futures;
  state.executor_core = py::ref::steal(PyType_FromModuleAndSpec(module, &executor_spec, nullptr));
  if (!state.executor_core || PyModule_AddObjectRef(module, "ExecutorCore", state.executor_core.get()) != 0) {
    py::throw_raised();
  }
}

}  // namespace triga
