// SPDX-License-Identifier: MIT
#include "bindings/py/immortal.h"

#include <algorithm>
#include <array>
#include <unordered_set>

namespace triga::py {

#if PY_VERSION_HEX < 0x030C0000

std::size_t make_immortal(PyObject* /*list*/) { return 0; }
std::size_t make_modules_immortal(PyObject* /*modules*/) { return 0; }

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

// Walks what one module defines. Runs no Python code, so no dictionary changes under it.
class definitions {
 public:
  explicit definitions(PyObject* module) : globals_(PyModule_GetDict(module)) {
    name_ = PyDict_GetItemString(globals_, "__name__");
    mark(module, marked_);
    mark(globals_, marked_);
    mark_values(globals_);
  }

  [[nodiscard]] std::size_t marked() const noexcept { return marked_; }

 private:
  void mark_values(PyObject* dict) {
    Py_ssize_t at = 0;
    PyObject* value = nullptr;
    while (PyDict_Next(dict, &at, nullptr, &value) != 0) mark_value(value);
  }

  void mark_value(PyObject* value) {
    if (PyFunction_Check(value)) return mark_function(value);
    if (PyType_Check(value)) return mark_class(reinterpret_cast<PyTypeObject*>(value));
    if (is_wrapper(value)) {
      mark(value, marked_);
      Py_TYPE(value)->tp_traverse(value, &mark_wrapped, this);
    } else if (is_descriptor(value)) {
      mark(value, marked_);
    }
  }

  // One that was made inside another function may hold what has to end.
  void mark_function(PyObject* function) {
    const auto* const code = reinterpret_cast<PyCodeObject*>(PyFunction_GET_CODE(function));
    if (PyFunction_GET_GLOBALS(function) != globals_ || (code->co_flags & CO_NESTED) != 0) return;
    if (mark(function, marked_)) visit_referents(function, &mark_constant, marked_);
  }

  void mark_class(PyTypeObject* type) {
    if (!classes_.insert(type).second) return;
    PyObject* const dict = PyType_GetDict(type);
    if (dict == nullptr) return;
    // The static ones are immortal already, but what their dictionaries hold is not.
    const bool is_static = (type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0;
    if (is_static || is_defined_here(dict)) {
      auto* const object = reinterpret_cast<PyObject*>(type);
      if (!is_static && mark(object, marked_)) visit_referents(object, &mark_constant, marked_);
      mark_values(dict);
    }
    Py_DECREF(dict);
  }

  bool is_defined_here(PyObject* dict_of_class) const {
    PyObject* const module = PyDict_GetItemString(dict_of_class, "__module__");
    return module != nullptr && name_ != nullptr && PyUnicode_Check(module) && PyUnicode_Check(name_) &&
           PyUnicode_Compare(module, name_) == 0;
  }

  static bool is_wrapper(PyObject* object) {
    const PyTypeObject* const type = Py_TYPE(object);
    return type == &PyProperty_Type || type == &PyClassMethod_Type || type == &PyStaticMethod_Type;
  }

  static bool is_descriptor(PyObject* object) {
    const std::array exact{&PyCFunction_Type,   &PyMethodDescr_Type,  &PyGetSetDescr_Type,
                           &PyMemberDescr_Type, &PyWrapperDescr_Type, &PyClassMethodDescr_Type};
    return std::ranges::find(exact, Py_TYPE(object)) != exact.end();
  }

  static int mark_wrapped(PyObject* object, void* argument) {
    if (PyFunction_Check(object)) static_cast<definitions*>(argument)->mark_function(object);
    return 0;
  }

  PyObject* globals_;
  PyObject* name_ = nullptr;
  std::unordered_set<PyTypeObject*> classes_;
  std::size_t marked_ = 0;
};

}  // namespace

std::size_t make_modules_immortal(PyObject* modules) {
  std::size_t marked = 0;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(modules); ++i) {
    PyObject* const module = PyList_GET_ITEM(modules, i);
    if (PyModule_Check(module)) marked += definitions(module).marked();
  }
  return marked;
}

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
