// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::embed {

// Holds the GIL for the scope, on any thread, whether it holds it already or not. Requires a living
// interpreter.
class [[nodiscard]] attached {
 public:
  attached() noexcept : state_(PyGILState_Ensure()) {}
  attached(const attached&) = delete;
  attached& operator=(const attached&) = delete;
  attached(attached&&) = delete;
  attached& operator=(attached&&) = delete;
  ~attached() { PyGILState_Release(state_); }

 private:
  PyGILState_STATE state_;
};

// Lets go of the GIL for the scope, where the thread holds it.
class [[nodiscard]] detached {
 public:
  detached() noexcept : state_(PyGILState_Check() != 0 ? PyEval_SaveThread() : nullptr) {}
  detached(const detached&) = delete;
  detached& operator=(const detached&) = delete;
  detached(detached&&) = delete;
  detached& operator=(detached&&) = delete;
  ~detached() {
    if (state_ != nullptr) PyEval_RestoreThread(state_);
  }

 private:
  PyThreadState* state_;
};

}  // namespace triga::embed
