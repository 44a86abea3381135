// SPDX-License-Identifier: MIT
#include "bindings/types/handle_layout.h"

#include <structmember.h>

#include <algorithm>

#include "bindings/py/ref.h"
#include "bindings/py/throw_raised.h"

namespace triga::handles {
namespace {

Py_ssize_t offset_of(PyObject* type, const char* name) {
  py::ref member = py::ref::steal(PyObject_GetAttrString(type, name));
  if (!member) py::throw_raised();
  if (!Py_IS_TYPE(member.get(), &PyMemberDescr_Type)) refuse(name);
  return reinterpret_cast<PyMemberDescrObject*>(member.get())->d_member->offset;
}

Py_ssize_t size_of(PyObject* type) noexcept {
  return type != Py_None ? reinterpret_cast<PyTypeObject*>(type)->tp_basicsize : 0;
}

Py_ssize_t weak_list_of(PyObject* type) {
  const Py_ssize_t at = reinterpret_cast<PyTypeObject*>(type)->tp_weaklistoffset;
  if (at == 0) refuse("handles without weak references");
  return at;
}

}  // namespace

void refuse(const char* what) {
  PyErr_Format(PyExc_RuntimeError, "this asyncio is unlike any that triga knows: %s", what);
  py::throw_raised();
}

layout layout_of(PyObject* handle, PyObject* timer, PyObject* thread_safe) {
  return {.callback = offset_of(handle, "_callback"),
          .args = offset_of(handle, "_args"),
          .cancelled = offset_of(handle, "_cancelled"),
          .loop = offset_of(handle, "_loop"),
          .source_traceback = offset_of(handle, "_source_traceback"),
          .repr = offset_of(handle, "_repr"),
          .context = offset_of(handle, "_context"),
          .scheduled = offset_of(timer, "_scheduled"),
          .when = offset_of(timer, "_when"),
          .lock = thread_safe != Py_None ? offset_of(thread_safe, "_lock") : 0,
          .weak = weak_list_of(handle),
          .own = std::max({size_of(handle), size_of(timer), size_of(thread_safe)})};
}

}  // namespace triga::handles
