// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::py {

// The exception that is set, taken from the thread state, as one object with its traceback. Null if none is
// set.
inline ref take_raised() {
#if PY_VERSION_HEX >= 0x030C0000
  return ref::steal(PyErr_GetRaisedException());
#else
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  if (type == nullptr) return ref();
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_DECREF(type);
  Py_XDECREF(traceback);
  return ref::steal(value);
#endif
}

// Sets an exception that take_raised() took.
inline void raise_again(ref error) {
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(error.release());
#else
  PyObject* traceback = PyException_GetTraceback(error.get());
  PyObject* type = Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(error.get())));
  PyErr_Restore(type, error.release(), traceback);
#endif
}

}  // namespace triga::py
