// SPDX-License-Identifier: MIT
#include "bindings/types/class_family.h"

#include <algorithm>

#include "bindings/py/ref.h"
#include "bindings/types/queue_state.h"
#include "bindings/types/register_types.h"

namespace triga {
namespace {

class_family& as_family(PyObject* self) { return *reinterpret_cast<class_family*>(self); }

PyObject* family_new(PyTypeObject* type, PyObject* arguments, PyObject*) {
  PyObject *globals = nullptr, *stock = nullptr, *condition_class = nullptr;
  if (!PyArg_ParseTuple(arguments, "O!OO:ClassFamily", &PyDict_Type, &globals, &stock, &condition_class)) {
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  as_family(self).globals = Py_NewRef(globals);
  as_family(self).stock = Py_NewRef(stock);
  as_family(self).condition_class = Py_NewRef(condition_class);
  return self;
}

int family_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_family(self).globals);
  Py_VISIT(as_family(self).stock);
  Py_VISIT(as_family(self).condition_class);
  return 0;
}

// No tp_clear: the cycles that it is part of (module, class, family) are broken at the classes, so that a
// queue never meets a family without its parts.
void family_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_DECREF(as_family(self).globals);
  Py_DECREF(as_family(self).stock);
  Py_DECREF(as_family(self).condition_class);
  type->tp_free(self);
  Py_DECREF(type);
}

PyType_Slot family_slots[] = {
    {Py_tp_doc, const_cast<char*>("ClassFamily(globals, stock, condition_class)\n--\n\n"
                                  "What the queue classes of one copy of module queue share.")},
    {Py_tp_new, reinterpret_cast<void*>(family_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(family_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(family_traverse)},
    {0, nullptr},
};

PyType_Spec family_spec = {
    .name = "triga._core.ClassFamily",
    .basicsize = sizeof(class_family),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = family_slots,
};

}  // namespace

PyObject* family_of(PyTypeObject* type, const queue_state& state) {
  py::ref family =
      py::ref::steal(PyObject_GetAttr(reinterpret_cast<PyObject*>(type), state.names.family.get()));
  if (!family || Py_IS_TYPE(family.get(), state.family_type.type())) return family.release();
  PyErr_SetString(PyExc_TypeError, "the class attribute _family belongs to triga");
  return nullptr;
}

PyObject* raise_from_family(const class_family& family, const char* name) {
  PyObject* const exception = PyDict_GetItemString(family.globals, name);
  if (exception == nullptr) {
    PyErr_Format(PyExc_NameError, "name '%s' is not defined", name);
  } else if (PyExceptionClass_Check(exception)) {
    PyErr_SetNone(exception);
  } else {
    PyErr_SetString(PyExc_TypeError, "exceptions must derive from BaseException");
  }
  return nullptr;
}

PyObject* run_standard(const class_family& family, PyObject* self, const char* method,
                       PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  PyObject* const function = PyObject_GetAttrString(family.stock, method);
  if (function == nullptr) return nullptr;
  const Py_ssize_t all = count + (keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0);
  // At most three arguments pass through here; a list of its own would be unwound with this frame, see
  // parking.h.
  PyObject* call[8] = {self};
  if (all > 7) {
    Py_DECREF(function);
    return PyErr_Format(PyExc_TypeError, "%s() takes fewer than %zd arguments", method, all);
  }
  std::copy_n(arguments, all, call + 1);
  PyObject* const outcome =
      PyObject_Vectorcall(function, call, static_cast<std::size_t>(count + 1), keywords);
  Py_DECREF(function);
  return outcome;
}

bool add_family_type(PyObject* module, queue_state& state) {
  state.family_type = py::ref::steal(PyType_FromModuleAndSpec(module, &family_spec, nullptr));
  return state.family_type && PyModule_AddType(module, state.family_type.type()) == 0;
}

}  // namespace triga
