// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <span>

#include "runtime/base/huge_pages.h"

namespace triga {

// A bytes object that the caller fills before anybody else sees it; nullptr with an exception set if there is
// no memory. A large one lies in huge pages where the kernel gives them.
inline PyObject* new_bytes(Py_ssize_t size) {
  PyObject* const made = PyBytes_FromStringAndSize(nullptr, size);
  if (made != nullptr)
    prefer_huge_pages(
        {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(made)), static_cast<std::size_t>(size)});
  return made;
}

}  // namespace triga
