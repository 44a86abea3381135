// SPDX-License-Identifier: MIT
#include "bindings/types/work_queue.h"

#include <Python.h>
#include <structmember.h>

#include <cstddef>
#include <new>

#include "bindings/module_state.h"
#include "bindings/py/gil.h"
#include "bindings/py/ref.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/future.h"
#include "bindings/types/worker_context.h"
#include "runtime/embed/gil_turn.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

thread_local PyObject* worker_context_run = nullptr;

class gil_hooks final : public exec::thread_hooks {
 public:
  gil_hooks(PyThreadState* detached, PyObject* empty_function) noexcept
      : state_(detached), empty_function_(empty_function) {}

  void attach() override {
    PyEval_RestoreThread(state_);
    turn_.begin();
  }
  void detach() override { state_ = py::let_go_of_gil(); }
  void after_task() override { turn_.after_task(empty_function_); }

  [[nodiscard]] PyThreadState* state() const noexcept { return state_; }

 private:
  PyThreadState* state_;
  PyObject* const empty_function_;
  embed::gil_turn turn_;
};

// work(run=None) -> whether it left because it was idle for too long: a worker's life. `run` is called with
// each task instead of the task's function, if given.
PyObject* queue_work(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  worker_context_run = count > 0 && args[0] != Py_None ? args[0] : nullptr;
  // Safe: the caller's frame keeps the queue (and `run`) alive; the pool touches no Python object but in
  // tasks, which run between attach() and detach().
  PyObject* const empty_function = Py_XNewRef(state_of(Py_TYPE(self)).futures.empty_function.get());
  gil_hooks hooks(py::let_go_of_gil(), empty_function);
  const auto why = as_work_queue(self)->pool.work(hooks);
  PyEval_RestoreThread(hooks.state());
  Py_XDECREF(empty_function);
  worker_context_run = nullptr;
  return PyBool_FromLong(why == exec::thread_pool::left::idle);
}

// attend(): the attendant's life, see thread_pool.
PyObject* queue_attend(PyObject* self, PyObject*) {
  exec::thread_pool& pool = as_work_queue(self)->pool;
  for (nanoseconds attaching{};;) {
    // Safe: the caller's frame keeps the queue alive, and nothing else is touched.
    PyThreadState* const state = py::let_go_of_gil();
    exec::task_list ready = pool.attend(attaching);
    const time_point before = monotonic_clock::now();
    PyEval_RestoreThread(state);
    attaching = monotonic_clock::now() - before;
    if (ready.empty()) Py_RETURN_NONE;
    while (exec::task* const task = ready.pop()) {
      task->run();
      trace::count(trace::counter::tasks_run);
    }
  }
}

PyObject* queue_wants_attendant(PyObject* self, PyObject*) {
  return PyBool_FromLong(as_work_queue(self)->pool.wants_attendant());
}

PyObject* queue_close(PyObject* self, PyObject*) {
  as_work_queue(self)->pool.close();
  Py_RETURN_NONE;
}

// put(None) is how the standard library's exit handler wakes the workers of an executor for the last time.
PyObject* queue_put(PyObject* self, PyObject* item) {
  if (item != Py_None) {
    PyErr_SetString(PyExc_TypeError, "only None can be put here: tasks come from submit()");
    return nullptr;
  }
  return queue_close(self, nullptr);
}

PyObject* queue_qsize(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(as_work_queue(self)->pool.queued());
}

PyObject* queue_empty(PyObject* self, PyObject*) {
  return PyBool_FromLong(as_work_queue(self)->pool.queued() == 0);
}

// take() -> (future, function, args, kwargs) or None
PyObject* queue_take(PyObject* self, PyObject*) {
  future_object* const future = work_queue_take(as_work_queue(self));
  if (future == nullptr) Py_RETURN_NONE;
  PyObject* const args = future->call.args_tuple();
  PyObject* const kwargs = future->call.kwargs_dict();
  PyObject* const taken = args != nullptr && kwargs != nullptr
                              ? Py_BuildValue("OOOO", future, future->call.function(), args, kwargs)
                              : nullptr;
  Py_XDECREF(args);
  Py_XDECREF(kwargs);
  future->call.clear();
  Py_DECREF(future);
  return taken;
}

PyObject* queue_drain(PyObject* self, PyObject*) {
  PyObject* const futures = PyList_New(0);
  if (futures == nullptr) return nullptr;
  while (future_object* const future = work_queue_take(as_work_queue(self))) {
    const int failed = PyList_Append(futures, reinterpret_cast<PyObject*>(future));
    future->call.clear();
    Py_DECREF(future);
    if (failed != 0) {
      Py_DECREF(futures);
      return nullptr;
    }
  }
  return futures;
}

PyObject* queue_take_idle_token(PyObject* self, PyObject*) {
  return PyBool_FromLong(as_work_queue(self)->pool.take_idle_token());
}

PyObject* queue_give_idle_token(PyObject* self, PyObject*) {
  as_work_queue(self)->pool.give_idle_token();
  Py_RETURN_NONE;
}

int queue_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  // The pool's mutex is held; a visit runs no Python code, and no holder of the mutex waits for the GIL.
  return as_work_queue(self)->pool.each_queued(
      [&](exec::task& task) { return visit(reinterpret_cast<PyObject*>(owner_of(task)), arg); });
}

int queue_clear(PyObject* self) {
  while (future_object* const future = work_queue_take(as_work_queue(self))) Py_DECREF(future);
  for (exec::task_list orphans = as_work_queue(self)->pool.take_orphans();
       exec::task* const task = orphans.pop();) {
    Py_DECREF(owner_of(*task));
  }
  return 0;
}

void queue_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (as_work_queue(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  queue_clear(self);
  as_work_queue(self)->pool.~thread_pool();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef work_queue_methods[] = {
    {"work", reinterpret_cast<PyCFunction>(queue_work), METH_FASTCALL, nullptr},
    {"attend", queue_attend, METH_NOARGS, nullptr},
    {"wants_attendant", queue_wants_attendant, METH_NOARGS, nullptr},
    {"close", queue_close, METH_NOARGS, nullptr},
    {"put", queue_put, METH_O, nullptr},
    {"qsize", queue_qsize, METH_NOARGS, nullptr},
    {"empty", queue_empty, METH_NOARGS, nullptr},
    {"take", queue_take, METH_NOARGS, nullptr},
    {"drain", queue_drain, METH_NOARGS, nullptr},
    {"take_idle_token", queue_take_idle_token, METH_NOARGS, nullptr},
    {"give_idle_token", queue_give_idle_token, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef work_queue_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(work_queue_object, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot work_queue_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(queue_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(queue_clear)},
    {Py_tp_methods, work_queue_methods},
    {Py_tp_members, work_queue_members},
    {0, nullptr},
};

PyType_Spec work_queue_spec = {
    .name = "triga._core.WorkQueue",
    .basicsize = sizeof(work_queue_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = work_queue_slots,
};

}  // namespace

PyObject* current_worker_context() noexcept { return worker_context_run; }

void report_worker_error() {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  if (trace != nullptr) PyException_SetTraceback(value, trace);
  PyObject* const module = PyImport_ImportModule("triga._threads.executor");
  PyObject* const done =
      module != nullptr ? PyObject_CallMethod(module, "report_worker_error", "O", value) : nullptr;
  if (done == nullptr) PyErr_WriteUnraisable(nullptr);
  Py_XDECREF(done);
  Py_XDECREF(module);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
}

PyObject* work_queue_new(module_state& state, exec::thread_pool::options options) {
  PyTypeObject* const type = state.futures.work_queue.type();
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  // No collection can look at the object before it is whole: nothing is allocated in between.
  new (&as_work_queue(self)->pool) exec::thread_pool(options);
  return self;
}

future_object* work_queue_take(work_queue_object* queue) {
  exec::task* const task = queue->pool.try_take();
  return task != nullptr ? owner_of(*task) : nullptr;
}

void add_work_queue_type(PyObject* module) {
  futures_state& state = state_of(module).futures;
  state.work_queue = py::ref::steal(PyType_FromModuleAndSpec(module, &work_queue_spec, nullptr));
  if (!state.work_queue || PyModule_AddObjectRef(module, "WorkQueue", state.work_queue.get()) != 0) {
    py::throw_raised();
  }
  state.empty_function = py::ref::steal(embed::gil_turn::new_empty_function());
}

}  // namespace triga
