// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>

#include "runtime/sync/spin.h"

namespace triga::py {

// So many bytes are copied without the GIL; below, letting go of it costs more than the copy.
inline constexpr std::size_t gil_free_copy_from = 64 * 1024;

// PyEval_SaveThread(), telling those who wait for the GIL after a spin.
inline PyThreadState* let_go_of_gil() noexcept {
  PyThreadState* const state = PyEval_SaveThread();
  sync::handover::released();
  return state;
}

// Lets go of the GIL for the scope. Nothing in the scope may touch a Python object.
class [[nodiscard]] gil_release {
 public:
  gil_release() noexcept : state_(let_go_of_gil()) {}
  gil_release(const gil_release&) = delete;
  gil_release& operator=(const gil_release&) = delete;
  gil_release(gil_release&&) = delete;
  gil_release& operator=(gil_release&&) = delete;
  // Not noexcept: on 3.11 to 3.13 a thread that asks for the GIL after finalization began is unwound through
  // here.
  // NOLINTNEXTLINE(bugprone-unsafe-to-allow-exceptions)
  ~gil_release() noexcept(false) { PyEval_RestoreThread(state_); }

 private:
  PyThreadState* state_;
};

}  // namespace triga::py
