// SPDX-License-Identifier: MIT
// LoopBase: what the stand-in for asyncio's `_transports` asks (triga/_loop/facade.py).
#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/types/loop.h"
#include "bindings/types/stream_transport.h"

namespace triga::loops {
namespace {

// A descriptor's number, or -1 with an exception set.
int number_of(PyObject* key) {
  const int number = static_cast<int>(PyLong_AsLong(key));
  if (number < 0 && PyErr_Occurred() == nullptr) PyErr_SetObject(PyExc_KeyError, key);
  return number;
}

// _find_transport(number): the native stream transport of that descriptor, or None.
PyObject* find_transport(PyObject* self, PyObject* key) {
  const int number = number_of(key);
  if (number < 0) return nullptr;
  PyObject* found = core_of(self).transports().find(number);
  return Py_NewRef(found != nullptr ? found : Py_None);
}

// _put_transport(number, transport): false unless it is a native one of that descriptor on this loop.
PyObject* put_transport(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 2) return PyErr_Format(PyExc_TypeError, "_put_transport() takes 2 arguments");
  const int number = number_of(args[0]);
  if (number < 0) return nullptr;
  const py::ref& type = state_of(Py_TYPE(self)).transports.type;
  if (!type || PyObject_TypeCheck(args[1], type.type()) == 0) Py_RETURN_FALSE;
  if (!transports::native_of(args[1]).is_on(core_of(self), number)) Py_RETURN_FALSE;
  core_of(self).transports().put(number, args[1]);
  Py_RETURN_TRUE;
}

// _remove_transport(number): false if there is none.
PyObject* remove_transport(PyObject* self, PyObject* key) {
  const int number = number_of(key);
  if (number < 0) return nullptr;
  return PyBool_FromLong(core_of(self).transports().take_off(number));
}

PyObject* transport_numbers(PyObject* self, PyObject*) {
  py::ref numbers = py::ref::steal(PyList_New(0));
  const transport_table& table = core_of(self).transports();
  for (std::size_t at = 0; numbers && at < table.numbers(); ++at) {
    if (table.find(static_cast<int>(at)) == nullptr) continue;
    const py::ref number = py::ref::steal(PyLong_FromSize_t(at));
    if (!number || PyList_Append(numbers.get(), number.get()) < 0) return nullptr;
  }
  return numbers.release();
}

}  // namespace

PyMethodDef transport_methods[] = {
    {"_find_transport", find_transport, METH_O, nullptr},
    {"_put_transport", reinterpret_cast<PyCFunction>(put_transport), METH_FASTCALL, nullptr},
    {"_remove_transport", remove_transport, METH_O, nullptr},
    {"_transport_numbers", transport_numbers, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga::loops
