// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/base/clock.h"
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
    PyThreadState_Clear(state_);
    PyThreadState_DeleteCurrent();
  }

  void attach() override {
    if (state_ == nullptr) state_ = PyThreadState_New(interpreter_);
    PyEval_RestoreThread(state_);
    turn_ends_ = monotonic_clock::now() + turn;
  }

  void detach() override { PyEval_SaveThread(); }

  // CPython's own switch interval: between tasks no bytecode runs that would hear another thread ask for the
  // GIL.
  [[nodiscard]] bool turn_is_over() override { return monotonic_clock::now() >= turn_ends_; }

 private:
  static constexpr auto turn = std::chrono::milliseconds(5);

  PyInterpreterState* interpreter_;
  PyThreadState* state_ = nullptr;
  time_point turn_ends_{};
};

}  // namespace triga::embed
