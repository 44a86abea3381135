// SPDX-License-Identifier: MIT
#include "bindings/py/immortal.h"

#include <algorithm>
#include <array>

namespace triga::py {

#if PY_VERSION_HEX < 0x030C0000

std::size_t make_immortal(PyObject* /*list*/) { return 0; }

#else

namespace {

#ifdef _Py_IMMORTAL_INITIAL_REFCNT
constexpr auto immortal_count = static_cast<Py_ssize_t>(_Py_IMMORTAL_INITIAL_REFCNT);  // 3.14
#else
constexpr auto immortal_count = static_cast<Py_ssize_t>(_Py_IMMORTAL_REFCNT);
#endif

// Returns whether it was not before.
bool mark(PyObject* object, std::size_t& marked) {
  if (_Py_IsImmortal(object)) return false;
  Py_SET_REFCNT(object, immortal_count);
  ++marked;
  return true;
}

// Visits what the object refers to, as the collector does; the types' own tp_traverse names all of it.
void visit_referents(PyObject* object, visitproc visit, std::size_t& marked) {
  if (const traverseproc traverse = Py_TYPE(object)->tp_traverse) traverse(object, visit, &marked);
}

int mark_constant(PyObject* object, void* marked);

// The collector does not know code objects, so they have no tp_traverse.
void mark_parts_of_code(PyObject* object, void* marked) {
  const auto* const code = reinterpret_cast<PyCodeObject*>(object);
  for (PyObject* part :
       {code->co_consts, code->co_names, code->co_exceptiontable, code->co_localsplusnames,
        code->co_localspluskinds, code->co_filename, code->co_name, code->co_qualname, code->co_linetable}) {
    if (part != nullptr) mark_constant(part, marked);
  }
}

bool is_plain_constant(PyObject* object) {
  return PyUnicode_CheckExact(object) || PyBytes_CheckExact(object) || PyLong_CheckExact(object) ||
         PyFloat_CheckExact(object) || PyComplex_CheckExact(object) || PyCFunction_CheckExact(object);
}

int mark_constant(PyObject* object, void* argument) {
  auto& marked = *static_cast<std::size_t*>(argument);
  if (is_plain_constant(object)) {
    mark(object, marked);
  } else if (PyTuple_CheckExact(object) || PyFrozenSet_CheckExact(object)) {
    if (mark(object, marked)) visit_referents(object, &mark_constant, marked);
  } else if (PyCode_Check(object)) {
    if (mark(object, marked)) mark_parts_of_code(object, argument);
  }
  return 0;
}

// What modules and classes consist of.
bool is_of_a_module(PyObject* object) {
  const std::array exact{&PyFunction_Type,
                         &PyDict_Type,
                         &PyTuple_Type,
                         &PyList_Type,
                         &PySet_Type,
                         &PyFrozenSet_Type,
                         &PyCell_Type,
                         &PyProperty_Type,
                         &PyClassMethod_Type,
                         &PyStaticMethod_Type,
                         &PyMethod_Type,
                         &PyCFunction_Type,
                         &PyMethodDescr_Type,
                         &PyGetSetDescr_Type,
                         &PyMemberDescr_Type,
                         &PyWrapperDescr_Type,
                         &PyClassMethodDescr_Type};
  return std::ranges::find(exact, Py_TYPE(object)) != exact.end() || PyType_Check(object) ||
         PyModule_Check(object);
}

}  // namespace

std::size_t make_immortal(PyObject* list) {
  std::size_t marked = 0;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); ++i) {
    PyObject* const object = PyList_GET_ITEM(list, i);
    if (object == list || !is_of_a_module(object)) continue;
    mark(object, marked);
    visit_referents(object, &mark_constant, marked);
  }
  return marked;
}

#endif

}  // namespace triga::py
