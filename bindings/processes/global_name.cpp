// SPDX-License-Identifier: MIT
#include "bindings/processes/global_name.h"

namespace triga {
namespace {

// The types that pickle sends by name without asking any reducer, or whose own reducer gives the name.
bool may_have_name(PyObject* object) noexcept {
  if (PyFunction_Check(object) || Py_IS_TYPE(object, &PyType_Type)) return true;
  if (!PyCFunction_CheckExact(object)) return false;
  PyObject* const self = PyCFunction_GET_SELF(object);
  return self == nullptr || PyModule_Check(self);
}

py::ref exact_text(PyObject* object, const char* attribute) {
  py::ref text = py::ref::steal(PyObject_GetAttrString(object, attribute));
  if (!text) PyErr_Clear();
  return text && PyUnicode_CheckExact(text.get()) ? text : py::ref();
}

}  // namespace

std::optional<global_name> global_name::of(PyObject* object) {
  if (!may_have_name(object)) return std::nullopt;
  global_name found;
  found.object_ = py::ref::borrow(object);
  found.module_name_ = exact_text(object, "__module__");
  found.name_ = exact_text(object, "__qualname__");
  // What has a dot in it is not found in the module itself, so it does not mean it, and is left to pickle.
  if (!found.module_name_ || !found.name_ || !found.still_means_it()) return std::nullopt;
  return found;
}

bool global_name::still_means_it() const noexcept {
  PyObject* const module = PyDict_GetItem(PyImport_GetModuleDict(), module_name_.get());
  if (module == nullptr || !PyModule_Check(module)) return false;
  return PyDict_GetItem(PyModule_GetDict(module), name_.get()) == object_.get();
}

}  // namespace triga
