// SPDX-License-Identifier: MIT
#include "bindings/types/python_job.h"

#include "bindings/module_state.h"
#include "runtime/sync/spin.h"

namespace triga {
namespace {

thread_local bool inside_run = false;

}  // namespace

bool python_job::runs_here() noexcept { return inside_run; }

python_job::python_job(PyObject* module, PyObject* function, PyObject* args, PyObject* kwargs,
                       std::shared_ptr<exec::thread_handle> handle, bool joined_at_exit)
    : interpreter_(PyInterpreterState_Get()),
      module_(Py_NewRef(module)),
      function_(Py_NewRef(function)),
      args_(Py_NewRef(args)),
      kwargs_(Py_XNewRef(kwargs)) {
  if (handle == nullptr) return;
  handles_ = state_of(module).threads.handles;
  entry_.handle = std::move(handle);
  entry_.joined_at_exit = joined_at_exit;
  // Before the thread exists: an interpreter that ends now has to wait for it.
  handles_->add(entry_);
}

void python_job::drop_references() noexcept {
  Py_CLEAR(function_);
  Py_CLEAR(args_);
  Py_CLEAR(kwargs_);
  Py_CLEAR(module_);
  if (handles_ != nullptr) handles_->remove(entry_);
}

void python_job::run() {
  if (entry_.handle != nullptr) entry_.handle->begin(static_cast<std::uintptr_t>(pthread_self()));
  // On this thread, because a thread state remembers the thread that made it. Needs no GIL.
  PyThreadState* const thread_state = PyThreadState_New(interpreter_);
  if (thread_state == nullptr) Py_FatalError("triga: no memory for the state of a new thread");
  PyEval_AcquireThread(thread_state);
  call();
  PyThreadState_Clear(thread_state);
  // From here others may see the thread as ended (on 3.11 and 3.12 its lock has just been released), but they
  // cannot act before the GIL is free.
  exec::thread_cache::about_to_park();
  PyThreadState_DeleteCurrent();
  sync::handover::released();
}

void python_job::call() {
  threads_state& threads = state_of(module_).threads;
  ++threads.running;
  inside_run = true;
  PyObject* const outcome = PyObject_Call(function_, args_, kwargs_);
  if (outcome != nullptr) {
    Py_DECREF(outcome);
  } else if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
    PyErr_Clear();
  } else {
    report_exception();
  }
  Py_CLEAR(function_);
  Py_CLEAR(args_);
  Py_CLEAR(kwargs_);
  inside_run = false;
  --threads.running;
  Py_CLEAR(module_);
}

void python_job::report_exception() {
#if PY_VERSION_HEX >= 0x030D0000
  PyErr_FormatUnraisable("Exception ignored in thread started by %R", function_);
#else
  _PyErr_WriteUnraisableMsg("in thread started by", function_);
#endif
}

// Without the GIL: the thread state is gone.
void python_job::parked() noexcept {
  if (handles_ != nullptr) {
    handles_->remove(entry_);
    entry_.handle->finish();
  }
  delete this;
}

}  // namespace triga
