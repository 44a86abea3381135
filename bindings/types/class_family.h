// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

namespace triga {

struct queue_state;

// What the native classes of one copy of a module of the standard library share: that copy's namespace, where
// exceptions are looked up by name when they are raised, the standard class that the native one stands in
// for, and the Condition class of the copy's threading. A class attribute, _family.
struct class_family {
  PyObject_HEAD PyObject* globals;
  PyObject* stock;
  PyObject* condition_class;
};

// The family of a native class or a subclass of one: a new reference, or nullptr with an exception.
PyObject* family_of(PyTypeObject* type, const queue_state& state);

// Raises the exception that the family's module has under `name`; returns nullptr.
PyObject* raise_from_family(const class_family& family, const char* name);

// Runs the standard class's own method on `self`.
PyObject* run_standard(const class_family& family, PyObject* self, const char* method,
                       PyObject* const* arguments, Py_ssize_t count, PyObject* keywords);

}  // namespace triga
