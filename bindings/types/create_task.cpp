// SPDX-License-Identifier: MIT
#include "bindings/types/create_task.h"

#include <algorithm>
#include <array>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/types/loop.h"

namespace triga::loops {
namespace {

// What the function has as its `self`: a tuple of these.
enum part : Py_ssize_t { core_module, events_names, stock_function, getter_name, method_name };

PyObject* part_of(PyObject* self, part which) noexcept { return PyTuple_GET_ITEM(self, which); }

py::ref running_loop(PyObject* self) {
  PyObject* const getter = PyDict_GetItemWithError(part_of(self, events_names), part_of(self, getter_name));
  return getter != nullptr ? py::ref::steal(PyObject_CallNoArgs(getter)) : py::ref();
}

bool is_plain(PyObject* self, PyObject* loop) {
  const state& types = triga::state_of(part_of(self, core_module)).loop;
  return reinterpret_cast<PyObject*>(Py_TYPE(loop)) == types.native_class.get() && fields(loop).debug == 0;
}

PyObject* create_task(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  constexpr Py_ssize_t most_keywords = 4;
  const Py_ssize_t keywords = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  if (count == 1 && keywords <= most_keywords) {
    const py::ref loop = running_loop(self);
    if (!loop && PyErr_Occurred() != nullptr) return nullptr;
    if (loop && is_plain(self, loop.get())) {
      std::array<PyObject*, 2 + most_keywords> all{loop.get()};
      std::copy_n(args, 1 + keywords, all.begin() + 1);
      return PyObject_VectorcallMethod(part_of(self, method_name), all.data(), 2, names);
    }
  }
  return PyObject_Vectorcall(part_of(self, stock_function), args, static_cast<std::size_t>(count), names);
}

PyMethodDef definition = {"create_task", py::as_method(create_task), METH_FASTCALL | METH_KEYWORDS,
                          "Starts a coroutine as a Task of the running loop."};

}  // namespace

PyObject* make_create_task(PyObject* core, PyObject* events, PyObject* stock) {
  const py::ref getter = py::ref::steal(PyUnicode_InternFromString("get_running_loop"));
  const py::ref method = py::ref::steal(PyUnicode_InternFromString("create_task"));
  if (!getter || !method) return nullptr;
  const py::ref parts =
      py::ref::steal(PyTuple_Pack(5, core, PyModule_GetDict(events), stock, getter.get(), method.get()));
  return parts ? PyCFunction_New(&definition, parts.get()) : nullptr;
}

}  // namespace triga::loops
