// SPDX-License-Identifier: MIT
#include "bindings/types/executor_submit.h"

#include <Python.h>

#include <climits>
#include <memory>
#include <new>
#include <vector>

#include "bindings/module_state.h"
#include "bindings/py/gil.h"
#include "bindings/py/seconds.h"
#include "bindings/py/signal_slices.h"
#include "bindings/py/type_name.h"
#include "bindings/types/call_extras.h"
#include "bindings/types/executor_layout.h"
#include "bindings/types/future.h"

namespace triga {
namespace {

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

// The same, for a task that is to run in a copy of the current context.
bool set_call_in_context(executor_object* self, future_object* future, PyObject* function,
                         PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const py::ref context = py::ref::steal(PyContext_CopyCurrent());
  if (!context) return false;
  const py::ref run = py::ref::steal(PyObject_GetAttrString(context.get(), "run"));
  if (!run) return false;
  std::vector<PyObject*> all{function};
  all.insert(all.end(), args, args + count + (names != nullptr ? PyTuple_GET_SIZE(names) : 0));
  return set_call(self, future, run.get(), all.data(), count + 1, names);
}

// queue.Full, as the exception that is set.
void raise_full(const exec::thread_pool& pool) {
  PyObject* const module = PyImport_ImportModule("queue");
  PyObject* const full = module != nullptr ? PyObject_GetAttrString(module, "Full") : nullptr;
  if (full != nullptr) {
    PyErr_Format(full, "%zu tasks wait already, as many as max_queue allows", pool.queued());
  }
  Py_XDECREF(full);
  Py_XDECREF(module);
}

// Waits until a full queue may have space. `patience` is when to give up. False: it was then, or a signal
// handler raised; the exception is set.
bool await_space(executor_object* self, time_point patience) {
  exec::thread_pool& pool = pool_of(self);
  const py::ref queue = py::ref::borrow(self->queue);
  for (py::signal_slices slices;;) {
    const time_point until = slices.next(patience);
    sync::wait_status status = sync::wait_status::woken;
    {
      // Safe: only the pool is touched, which the reference keeps.
      const py::gil_release released;
      status = pool.wait_for_space(until);
    }
    if (status == sync::wait_status::woken) return true;
    // A handler that raises is told of before the time that is over, and runs after the end of a slice, too.
    if (PyErr_CheckSignals() != 0) return false;
    if (status == sync::wait_status::timed_out && monotonic_clock::now() >= patience) {
      raise_full(pool);
      return false;
    }
  }
}

bool start_worker(PyObject* object, exec::thread_pool& pool) {
  PyObject* const started = PyObject_CallMethod(object, "_adjust_thread_count", nullptr);
  if (started == nullptr) pool.worker_not_started();
  Py_XDECREF(started);
  return started != nullptr;
}

// `closed` with MemoryError set where there is no memory for a task with a priority or a deadline.
exec::submit_status try_submit(exec::thread_pool& pool, future_call& call) {
  try {
    return pool.submit(call);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    return exec::submit_status::closed;
  }
}

// Queues the future's call, which is set. Takes over the reference to the future, and returns it, or nullptr
// with an exception. `patience`: how long a full queue may make it wait.
PyObject* enqueue(PyObject* object, future_object* future, time_point patience) {
  executor_object* const self = as_executor(object);
  Py_INCREF(future);  // the queue's
  for (;;) {
    switch (try_submit(pool_of(self), future->call)) {
      case exec::submit_status::accepted:
        return reinterpret_cast<PyObject*>(future);
      case exec::submit_status::needs_worker:
        if (start_worker(object, pool_of(self))) return reinterpret_cast<PyObject*>(future);
        Py_DECREF(future);
        return nullptr;
      case exec::submit_status::full:
        if (await_space(self, patience) && may_submit(object)) continue;
        break;
      case exec::submit_status::closed:
        // Not reached while the GIL is held since may_submit(); setting the call may have run Python code.
        if (!PyErr_Occurred()) {
          PyErr_SetString(PyExc_RuntimeError, "cannot schedule new futures after shutdown");
        }
        break;
    }
    Py_DECREF(future);
    Py_DECREF(future);
    return nullptr;
  }
}

PyObject* submit_one(PyObject* object, PyObject* function, PyObject* const* args, Py_ssize_t count,
                     PyObject* names) {
  if (!may_submit(object)) return nullptr;
  executor_object* const self = as_executor(object);
  future_object* const future = future_new(state_of(Py_TYPE(object)));
  if (future == nullptr) return nullptr;
  const auto set = self->copies_context ? set_call_in_context : set_call;
  if (!set(self, future, function, args, count, names)) {
    Py_DECREF(future);
    return nullptr;
  }
  return enqueue(object, future, never);
}

// The options of one task, as _submit_with() takes them. False: an exception is set.
struct task_options {
  int priority = 0;
  time_point deadline = never;
  time_point patience = never;

  bool read(PyObject* its_priority, PyObject* its_deadline, PyObject* its_timeout) {
    int overflow = 0;
    const long value = PyLong_AsLongAndOverflow(its_priority, &overflow);
    if (value == -1 && PyErr_Occurred()) return false;
    if (overflow != 0 || value < INT_MIN || value > INT_MAX) {
      PyErr_Format(PyExc_ValueError, "priority must lie between %d and %d", INT_MIN, INT_MAX);
      return false;
    }
    priority = static_cast<int>(value);
    const auto due = deadline_of(its_deadline);
    if (!due) return false;
    const auto until = deadline_of(its_timeout);
    if (!until) return false;
    deadline = *due;
    patience = *until;
    return true;
  }
};

}  // namespace

PyObject* executor_submit_with(PyObject* object, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count < 4) {
    return PyErr_Format(PyExc_TypeError, "_submit_with expected at least 4 arguments, got %zd", count);
  }
  task_options options;
  if (!options.read(args[0], args[1], args[2]) || !may_submit(object)) return nullptr;
  executor_object* const self = as_executor(object);
  future_object* const future = future_new(state_of(Py_TYPE(object)));
  if (future == nullptr) return nullptr;
  std::unique_ptr<call_extras> extras(new (std::nothrow) call_extras(future));
  if (extras == nullptr) {
    Py_DECREF(future);
    return PyErr_NoMemory();
  }
  extras->priority = options.priority;
  extras->queued_at = monotonic_clock::now();
  extras->deadline = options.deadline;
  native_work* const work = native_work_of(args[3]);
  bool well = false;
  if (work != nullptr) {
    extras->set_work(*work);
    well = future->call.set(args[3], nullptr, 0, nullptr);
  } else {
    const auto set = self->copies_context ? set_call_in_context : set_call;
    well = set(self, future, args[3], args + 4, count - 4, names);
  }
  future->call.give_extras(std::move(extras));
  if (!well) {
    Py_DECREF(future);
    return nullptr;
  }
  return enqueue(object, future, options.patience);
}

PyObject* executor_submit(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count == 0) {
    return PyErr_Format(PyExc_TypeError, "%s.submit() missing 1 required positional argument: 'fn'",
                        py::type_name(Py_TYPE(self)));
  }
  return submit_one(self, args[0], args + 1, count - 1, names);
}

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

}  // namespace triga
