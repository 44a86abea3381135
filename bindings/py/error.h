// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::py {

// Takes the exception that is set (if any) out of the thread state, for calls that must not see it, until
// put_back(). There is no destructor: the calls may let go of the GIL, and see parking.h for what that means
// to destructors.
class error_aside {
 public:
#if PY_VERSION_HEX >= 0x030C0000
  error_aside() noexcept : exception_(PyErr_GetRaisedException()) {}
#else
  error_aside() noexcept { PyErr_Fetch(&type_, &value_, &traceback_); }
#endif
  error_aside(const error_aside&) = delete;
  error_aside& operator=(const error_aside&) = delete;
  error_aside(error_aside&&) = delete;
  error_aside& operator=(error_aside&&) = delete;
  ~error_aside() = default;

  // Sets it again, in place of any exception that was set since. If there was none, a newer one stays.
  void put_back() noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    if (exception_ != nullptr) PyErr_SetRaisedException(exception_);
#else
    if (type_ != nullptr) PyErr_Restore(type_, value_, traceback_);
#endif
  }

 private:
#if PY_VERSION_HEX >= 0x030C0000
  PyObject* exception_;
#else
  PyObject *type_ = nullptr, *value_ = nullptr, *traceback_ = nullptr;
#endif
};

}  // namespace triga::py
