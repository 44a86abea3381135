// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstring>

namespace triga::py {

// The name of a type without its module, as type.__name__ has it.
inline const char* type_name(const PyTypeObject* type) noexcept {
  const char* const dot = std::strrchr(type->tp_name, '.');
  return dot != nullptr ? dot + 1 : type->tp_name;
}

}  // namespace triga::py
