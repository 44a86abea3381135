// SPDX-License-Identifier: MIT
#include "bindings/types/asyncio_calls.h"

#include "bindings/py/method.h"

namespace triga::loops {
namespace {

// A loop that does nothing but keep the keyword names that its call_soon() is called with.
struct listener_object {
  PyObject_HEAD PyObject* names;
};

listener_object* as_listener(PyObject* self) noexcept { return reinterpret_cast<listener_object*>(self); }

PyObject* listen(PyObject* self, PyObject* const*, Py_ssize_t, PyObject* names) {
  Py_XSETREF(as_listener(self)->names, Py_XNewRef(names));
  Py_RETURN_NONE;
}

PyObject* no_debug(PyObject*, PyObject*) { Py_RETURN_FALSE; }

void listener_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  Py_XDECREF(as_listener(self)->names);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef calls_methods[] = {
    {"call_soon", py::as_method(listen), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"get_debug", no_debug, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot calls_slots[] = {
    {Py_tp_methods, calls_methods},
    {Py_tp_dealloc, reinterpret_cast<void*>(listener_dealloc)},
    {0, nullptr},
};

PyType_Spec calls_spec = {.name = "triga._core.CallListener",
                          .basicsize = sizeof(listener_object),
                          .itemsize = 0,
                          .flags = Py_TPFLAGS_DEFAULT,
                          .slots = calls_slots};

// A future that is done schedules a new callback at once.
bool have_a_future_call(PyObject* listener, PyObject* callback) {
  const py::ref asyncio = py::ref::steal(PyImport_ImportModule("_asyncio"));
  const py::ref type = asyncio ? py::ref::steal(PyObject_GetAttrString(asyncio.get(), "Future")) : py::ref();
  const py::ref none = py::ref::steal(PyTuple_New(0));
  const py::ref keywords = py::ref::steal(Py_BuildValue("{sO}", "loop", listener));
  if (!type || !none || !keywords) return false;
  const py::ref future = py::ref::steal(PyObject_Call(type.get(), none.get(), keywords.get()));
  return future && py::ref::steal(PyObject_CallMethod(future.get(), "set_result", "O", Py_None)) &&
         py::ref::steal(PyObject_CallMethod(future.get(), "add_done_callback", "O", callback));
}

bool is_context_alone(PyObject* names) noexcept {
  return names != nullptr && PyTuple_GET_SIZE(names) == 1 &&
         PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "context") == 0;
}

}  // namespace

py::ref find_asyncio_names(PyObject* module) noexcept {
  const py::ref type = py::ref::steal(PyType_FromModuleAndSpec(module, &calls_spec, nullptr));
  const py::ref listener = type ? py::ref::steal(PyObject_CallNoArgs(type.get())) : py::ref();
  py::ref names;
  if (listener && have_a_future_call(listener.get(), type.get())) {
    PyObject* const heard = as_listener(listener.get())->names;
    if (is_context_alone(heard)) names = py::ref::borrow(heard);
  }
  PyErr_Clear();
  return names;
}

}  // namespace triga::loops
