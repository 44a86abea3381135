// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

// Work of native code that a worker does without the GIL, behind _core.NativeWork, which a queued call has
// for its function. Destroyed with the GIL.
class native_work {
 public:
  native_work() = default;
  native_work(const native_work&) = delete;
  native_work& operator=(const native_work&) = delete;
  native_work(native_work&&) = delete;
  native_work& operator=(native_work&&) = delete;
  virtual ~native_work() = default;

  // Without the GIL; touches no Python object. A loop is run by several threads at once.
  virtual void run() noexcept = 0;
  // With the GIL, after run(): what the work came to, a new reference, or nullptr with the exception.
  virtual PyObject* outcome() = 0;
};

// The work behind an object, or nullptr, without an exception, if it is no _core.NativeWork.
native_work* native_work_of(PyObject* object) noexcept;

}  // namespace triga
