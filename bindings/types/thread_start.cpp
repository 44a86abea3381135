// SPDX-License-Identifier: MIT
#include "bindings/types/thread_start.h"

#include <Python.h>

#include <memory>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/python_job.h"
#include "bindings/types/stack_chunks.h"
#include "bindings/types/thread_handle.h"

namespace triga {
namespace {

// As the standard library does: no thread is started for an interpreter that has begun to end.
bool refuse_at_shutdown() {
#if PY_VERSION_HEX >= 0x030D0000
  if (!Py_IsFinalizing()) return false;
  PyErr_SetString(PyExc_PythonFinalizationError, "can't create new thread at interpreter shutdown");
  return true;
#elif PY_VERSION_HEX >= 0x030C0000
  // 3.12 refuses from the beginning of threading._shutdown() on.
  PyObject* const modules = PyImport_GetModuleDict();
  PyObject* const threading = modules != nullptr ? PyDict_GetItemString(modules, "threading") : nullptr;
  PyObject* const begun =
      threading != nullptr ? PyDict_GetItemString(PyModule_GetDict(threading), "_SHUTTING_DOWN") : nullptr;
  if (begun != Py_True && !_Py_IsFinalizing()) return false;
  PyErr_SetString(PyExc_RuntimeError, "can't create new thread at interpreter shutdown");
  return true;
#else
  return false;
#endif
}

// 3.12's threading learns only from here that a sub-interpreter was made without threads; see also
// _threads/start.py.
bool refuse_without_threads() {
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
  if (_PyInterpreterState_HasFeature(PyInterpreterState_Get(), Py_RTFLAGS_THREADS) != 0) return false;
  PyErr_SetString(PyExc_RuntimeError, "thread is not supported for isolated subinterpreters");
  return true;
#else
  return false;
#endif
}

// Starts a job on a leased thread; the lease, or nothing with an exception set (the job is deleted then).
exec::thread_cache::lease start_job(python_job* job) {
  auto started = exec::thread_cache::process().start(*job, PyThread_get_stacksize());
  if (started) return *std::move(started);
  delete job;
  PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
  return {};
}

// While the Thread object lives, which start_new_thread() knows as the owner of a bound method, its thread is
// not handed on: no two Thread objects that can be compared show the same native_id.
bool keep_for_owner(module_state& state, PyObject* function, std::shared_ptr<exec::thread_handle> handle) {
  PyObject* const kept = thread_lease_new(state, std::move(handle));
  if (kept == nullptr) return false;
  PyObject* const name = PyUnicode_InternFromString("_triga_lease");
  // Generic: a subclass's own __setattr__ has no part in this.
  if (name == nullptr || PyObject_GenericSetAttr(PyMethod_GET_SELF(function), name, kept) != 0) PyErr_Clear();
  Py_XDECREF(name);
  Py_DECREF(kept);
  return true;
}

PyObject* start_new_thread(PyObject* module, PyObject* const* args, Py_ssize_t count) {
  if (count < 2 || count > 3) {
    return PyErr_Format(PyExc_TypeError, "start_new_thread expected at %s %d arguments, got %zd",
                        count < 2 ? "least" : "most", count < 2 ? 2 : 3, count);
  }
  PyObject* const function = args[0];
  PyObject* const kwargs = count == 3 ? args[2] : nullptr;
  const char* wrong = nullptr;
  if (!PyCallable_Check(function)) {
    wrong = "first arg must be callable";
  } else if (!PyTuple_Check(args[1])) {
    wrong = "2nd arg must be a tuple";
  } else if (kwargs != nullptr && !PyDict_Check(kwargs)) {
    wrong = "optional 3rd arg must be a dictionary";
  }
  if (wrong != nullptr) {
    PyErr_SetString(PyExc_TypeError, wrong);
    return nullptr;
  }
  if (PySys_Audit("_thread.start_new_thread", "OOO", function, args[1],
                  kwargs != nullptr ? kwargs : Py_None) < 0) {
    return nullptr;
  }
  if (refuse_without_threads() || refuse_at_shutdown()) return nullptr;
  std::shared_ptr<exec::thread_handle> handle;
  if (PyMethod_Check(function)) {
    handle = std::make_shared<exec::thread_handle>();
    handle->claim();
  }
  auto lease = start_job(new python_job(module, function, args[1], kwargs, handle, false));
  if (!lease) return nullptr;
  PyObject* const ident = PyLong_FromUnsignedLong(static_cast<unsigned long>(lease.id()));
  if (handle != nullptr) {
    handle->keep(std::move(lease));
    if (!keep_for_owner(state_of(module), function, std::move(handle))) PyErr_Clear();
  }
  return ident;
}

bool claim_handle(exec::thread_handle& handle) {
  if (handle.claim()) return true;
  PyErr_SetString(PyExc_RuntimeError, "thread already started");
  return false;
}

PyObject* start_joinable_thread(PyObject* module, PyObject* args, PyObject* kwargs) {
  static const char* const names[] = {"function", "handle", "daemon", nullptr};
  PyObject* function = nullptr;
  PyObject* handle = nullptr;
  int daemon = 1;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|Op:start_joinable_thread", const_cast<char**>(names),
                                   &function, &handle, &daemon)) {
    return nullptr;
  }
  module_state& state = state_of(module);
  if (!PyCallable_Check(function)) {
    PyErr_SetString(PyExc_TypeError, "thread function must be callable");
    return nullptr;
  }
  if (handle == nullptr) handle = Py_None;
  if (handle != Py_None && Py_TYPE(handle) != state.threads.handle_type.type()) {
    // A Thread object that was made before install().
    if (state.threads.stock_start) return PyObject_Call(state.threads.stock_start.get(), args, kwargs);
    PyErr_SetString(PyExc_TypeError, "'handle' must be a _ThreadHandle");
    return nullptr;
  }
  if (PySys_Audit("_thread.start_joinable_thread", "OiO", function, daemon, handle) < 0) return nullptr;
  if (refuse_at_shutdown()) return nullptr;
  PyObject* const own = handle == Py_None ? thread_handle_new(state) : Py_NewRef(handle);
  PyObject* const no_arguments = own != nullptr ? PyTuple_New(0) : nullptr;
  if (no_arguments == nullptr) {
    Py_XDECREF(own);
    return nullptr;
  }
  const std::shared_ptr<exec::thread_handle> shared = reinterpret_cast<thread_handle_object*>(own)->handle;
  if (claim_handle(*shared)) {
    auto lease = start_job(new python_job(module, function, no_arguments, nullptr, shared, daemon == 0));
    if (lease) {
      // The thread sets it too, but perhaps later than the caller looks.
      shared->begin(static_cast<std::uintptr_t>(lease.id()));
      shared->keep(std::move(lease));
      Py_DECREF(no_arguments);
      return own;
    }
    shared->finish();
  }
  Py_DECREF(no_arguments);
  Py_DECREF(own);
  return nullptr;
}

PyObject* join_threads(PyObject* module, PyObject*) {
  const std::shared_ptr<exec::handle_list> handles = state_of(module).threads.handles;
  const auto self = static_cast<std::uintptr_t>(PyThread_get_thread_ident());
  while (const auto handle = handles->next_to_join(self)) {
    if (!join_thread(handle, never)) {
      PyErr_WriteUnraisable(nullptr);
      Py_RETURN_FALSE;
    }
  }
  Py_RETURN_TRUE;
}

PyObject* threads_to_join(PyObject* module, PyObject*) {
  const auto self = static_cast<std::uintptr_t>(PyThread_get_thread_ident());
  return PyBool_FromLong(state_of(module).threads.handles->next_to_join(self) != nullptr);
}

PyObject* thread_count(PyObject* module, PyObject*) {
  return PyLong_FromLong(state_of(module).threads.running);
}

PyObject* end_idle_threads(PyObject*, PyObject*) {
  // Safe: the cache holds no Python object. Threads on their way back need no GIL any more.
  PyThreadState* const attached = PyEval_SaveThread();
  exec::thread_cache::process().end_idle_threads();
  PyEval_RestoreThread(attached);
  Py_RETURN_NONE;
}

PyObject* forget_threads_after_fork(PyObject* module, PyObject*) {
  state_of(module).threads.running = python_job::runs_here() ? 1 : 0;
  Py_RETURN_NONE;
}

// The function that starts threads whose handles are the standard library's.
PyObject* set_stock_start(PyObject* module, PyObject* function) {
  state_of(module).threads.stock_start = py::ref::borrow(function);
  Py_RETURN_NONE;
}

PyObject* keep_chunks(PyObject*, PyObject*) {
  keep_stack_chunks();
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"start_new_thread", reinterpret_cast<PyCFunction>(start_new_thread), METH_FASTCALL, nullptr},
    {"start_joinable_thread", reinterpret_cast<PyCFunction>(start_joinable_thread),
     METH_VARARGS | METH_KEYWORDS, nullptr},
    {"join_threads", join_threads, METH_NOARGS, nullptr},
    {"threads_to_join", threads_to_join, METH_NOARGS, nullptr},
    {"thread_count", thread_count, METH_NOARGS, nullptr},
    {"end_idle_threads", end_idle_threads, METH_NOARGS, nullptr},
    {"set_stock_start_joinable_thread", set_stock_start, METH_O, nullptr},
    {"keep_stack_chunks", keep_chunks, METH_NOARGS, nullptr},
    {"forget_threads_after_fork", forget_threads_after_fork, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void add_thread_functions(PyObject* module) {
  if (PyModule_AddFunctions(module, functions) != 0) py::throw_raised();
}

}  // namespace triga
