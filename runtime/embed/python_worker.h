// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/embed/gil_turn.h"
#include "runtime/exec/thread_hooks.h"

namespace triga::embed {

// What a worker thread does around Python tasks: it makes one thread state when it first attaches, keeps it
// over its turns, so that thread-local data of Python code lives as long as the worker, and takes it away at
// its end. Made and destroyed on the worker, while the interpreter lives: executor::shut_down() sees to that.
class python_worker final : public exec::thread_hooks {
 public:
  explicit python_worker(PyInterpreterState* interpreter) noexcept : interpreter_(interpreter) {}
  python_worker(const python_worker&) = delete;
  python_worker& operator=(const python_worker&) = delete;
  python_worker(python_worker&&) = delete;
  python_worker& operator=(python_worker&&) = delete;

  ~python_worker() {
    if (state_ == nullptr) return;
    PyEval_RestoreThread(state_);
    Py_CLEAR(empty_function_);
    PyThreadState_Clear(state_);
    PyThreadState_DeleteCurrent();
  }

  void attach() override {
    if (state_ == nullptr) state_ = PyThreadState_New(interpreter_);
    PyEval_RestoreThread(state_);
    if (empty_function_ == nullptr) empty_function_ = gil_turn::new_empty_function();
    turn_.begin();
  }

  void detach() override { PyEval_SaveThread(); }

  void after_task() override { turn_.after_task(empty_function_); }

 private:
  PyInterpreterState* interpreter_;
  PyThreadState* state_ = nullptr;
  PyObject* empty_function_ = nullptr;
  gil_turn turn_;
};

}  // namespace triga::embed
