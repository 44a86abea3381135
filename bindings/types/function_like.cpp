// SPDX-License-Identifier: MIT
#include "bindings/types/function_like.h"

#include <structmember.h>

#include <array>
#include <cstddef>
#include <string_view>

namespace triga::streams {
namespace {

struct function_object {
  PyObject_HEAD vectorcallfunc call;
  PyObject* native;
  PyObject* like;
};

function_object& fields(PyObject* self) noexcept { return *reinterpret_cast<function_object*>(self); }

PyObject* function_call(PyObject* self, PyObject* const* args, std::size_t count, PyObject* keywords) {
  return PyObject_Vectorcall(fields(self).native, args, count, keywords);
}

PyObject* function_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"native", "like", nullptr};
  PyObject *native = nullptr, *like = nullptr;
  if (PyArg_ParseTupleAndKeywords(args, keywords, "OO:FunctionLike", const_cast<char**>(names), &native,
                                  &like) == 0) {
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  fields(self) = {.ob_base = fields(self).ob_base,
                  .call = function_call,
                  .native = Py_NewRef(native),
                  .like = Py_NewRef(like)};
  return self;
}

int function_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(fields(self).native);
  Py_VISIT(fields(self).like);
  return 0;
}

int function_clear(PyObject* self) {
  Py_CLEAR(fields(self).native);
  Py_CLEAR(fields(self).like);
  return 0;
}

void function_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  function_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* function_get(PyObject* self, PyObject* instance, PyObject*) {
  return instance == nullptr || instance == Py_None ? Py_NewRef(self) : PyMethod_New(self, instance);
}

// Everything but what makes it what it is comes from `like`.
PyObject* function_getattro(PyObject* self, PyObject* name) {
  static constexpr std::array<std::string_view, 5> own = {"__class__", "__get__", "__call__", "__reduce__",
                                                          "__reduce_ex__"};
  const char* text = PyUnicode_AsUTF8(name);
  if (text == nullptr) return nullptr;
  for (const std::string_view each : own) {
    if (each == text) return PyObject_GenericGetAttr(self, name);
  }
  return PyObject_GetAttr(fields(self).like, name);
}

int function_setattro(PyObject* self, PyObject* name, PyObject* value) {
  return PyObject_SetAttr(fields(self).like, name, value);
}

// Pickled by its name, as a function is.
PyObject* function_reduce(PyObject* self, PyObject*) {
  return PyObject_GetAttrString(fields(self).like, "__qualname__");
}

PyObject* function_repr(PyObject* self) { return PyObject_Repr(fields(self).like); }

PyMethodDef function_methods[] = {
    {"__reduce__", function_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(function_object, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot function_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("FunctionLike(native, like): a native function that looks like one of Python's.")},
    {Py_tp_new, reinterpret_cast<void*>(function_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(function_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(function_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(function_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_descr_get, reinterpret_cast<void*>(function_get)},
    {Py_tp_getattro, reinterpret_cast<void*>(function_getattro)},
    {Py_tp_setattro, reinterpret_cast<void*>(function_setattro)},
    {Py_tp_repr, reinterpret_cast<void*>(function_repr)},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {0, nullptr},
};

PyType_Spec function_spec = {
    .name = "triga._core.FunctionLike",
    .basicsize = sizeof(function_object),
    .itemsize = 0,
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = function_slots,
};

}  // namespace

py::ref make_function_like_type(PyObject* core) {
  return py::ref::steal(PyType_FromModuleAndSpec(core, &function_spec, nullptr));
}

}  // namespace triga::streams
