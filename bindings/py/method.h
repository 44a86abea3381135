// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga::py {

// A method of any of CPython's signatures as PyMethodDef wants it; ml_flags say which it is.
template <class Function>
PyCFunction as_method(Function function) noexcept {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace triga::py
