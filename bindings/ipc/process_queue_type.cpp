// SPDX-License-Identifier: MIT
// The types triga._core.ProcessQueue and SimpleProcessQueue.
#include <array>
#include <string>

#include "bindings/ipc/process_queue.h"
#include "bindings/py/method.h"
#include "bindings/py/ref.h"

namespace triga::ipc {
namespace {

PyObject* queue_new(PyTypeObject* type, PyObject*, PyObject*) { return type->tp_alloc(type, 0); }

void queue_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  delete open_part(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// The standard library's own method, for an object that was not opened natively.
PyObject* run_stock(PyObject* self, const char* method, PyObject* const* arguments, Py_ssize_t count,
                    PyObject* keywords) {
  const py::ref stock = py::ref::steal(PyObject_GetAttrString(self, "_stock"));
  if (!stock) return nullptr;
  const py::ref function = py::ref::steal(PyObject_GetAttrString(stock.get(), method));
  if (!function) return nullptr;
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  std::array<PyObject*, 8> all{self};
  if (count + named + 1 > static_cast<Py_ssize_t>(all.size()))
    return PyErr_Format(PyExc_TypeError, "%s() takes fewer arguments", method);
  for (Py_ssize_t i = 0; i < count + named; ++i) all[static_cast<std::size_t>(i) + 1] = arguments[i];
  return PyObject_Vectorcall(function.get(), all.data(), static_cast<std::size_t>(count) + 1, keywords);
}

PyObject* raise_closed(PyObject* self) { return PyErr_Format(PyExc_ValueError, "Queue %R is closed", self); }

// Sorts what put (3 parameters) and get (the last two) are given. False with a TypeError.
bool sort(const char* format, const char* const* names, PyObject* const* arguments, Py_ssize_t count,
          PyObject* keywords, std::array<PyObject*, 3>& into) {
  const py::ref positional = py::ref::steal(PyTuple_New(count));
  const py::ref named = py::ref::steal(PyDict_New());
  if (!positional || !named) return false;
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(positional.get(), i, Py_NewRef(arguments[i]));
  for (Py_ssize_t i = 0; keywords != nullptr && i < PyTuple_GET_SIZE(keywords); ++i) {
    if (PyDict_SetItem(named.get(), PyTuple_GET_ITEM(keywords, i), arguments[count + i]) != 0) return false;
  }
  return PyArg_ParseTupleAndKeywords(positional.get(), named.get(), format, const_cast<char**>(names),
                                     &into[0], &into[1], &into[2]) != 0;
}

PyObject* queue_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  const open_queue* const open = open_part(self);
  if (open == nullptr) return run_stock(self, "put", arguments, count, keywords);
  static const char* const names[] = {"obj", "block", "timeout", nullptr};
  std::array<PyObject*, 3> given{nullptr, Py_True, Py_None};
  if (count == 1 && keywords == nullptr) {
    given[0] = arguments[0];
  } else if (!sort("O|OO:put", names, arguments, count, keywords, given)) {
    return nullptr;
  }
  if (open->closed) return raise_closed(self);
  const int block = PyObject_IsTrue(given[1]);
  return block < 0 ? nullptr : put(self, given[0], block != 0, given[2]);
}

PyObject* queue_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  open_queue* const open = open_part(self);
  if (open == nullptr) return run_stock(self, "get", arguments, count, keywords);
  static const char* const names[] = {"block", "timeout", nullptr};
  std::array<PyObject*, 3> given{Py_True, Py_None, nullptr};
  if ((count != 0 || keywords != nullptr) && !sort("|OO:get", names, arguments, count, keywords, given)) {
    return nullptr;
  }
  if (open->closed) return raise_closed(self);
  const int block = PyObject_IsTrue(given[0]);
  return block < 0 ? nullptr : get(*open, block != 0, given[1]);
}

PyObject* queue_qsize(PyObject* self, PyObject*) {
  open_queue* const open = open_part(self);
  if (open == nullptr) return run_stock(self, "qsize", nullptr, 0, nullptr);
  open->side->queue().forget_the_gone();
  return PyLong_FromUnsignedLong(open->side->queue().size());
}

PyObject* queue_full(PyObject* self, PyObject*) {
  open_queue* const open = open_part(self);
  if (open == nullptr) return run_stock(self, "full", nullptr, 0, nullptr);
  open->side->queue().forget_the_gone();
  return PyBool_FromLong(open->side->queue().full());
}

PyMethodDef queue_methods[] = {
    {"put", py::as_method(queue_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, /, obj, block=True, timeout=None)\n--\n\nPut an object on the queue.\n\nBlocks while the "
     "queue holds maxsize objects if block is true, at most timeout seconds if\ntimeout is not None; raises "
     "Full where no room came. What cannot be pickled goes to\n_on_queue_feeder_error."},
    {"get", py::as_method(queue_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, /, block=True, timeout=None)\n--\n\nRemove and return an object from the queue.\n\nBlocks "
     "while the queue is empty if block is true, at most timeout seconds if timeout is\nnot None; raises "
     "Empty "
     "where no object came."},
    {"qsize", queue_qsize, METH_NOARGS, "qsize($self, /)\n--\n\nThe number of objects in the queue."},
    {"full", queue_full, METH_NOARGS,
     "full($self, /)\n--\n\nTrue if the queue holds as many objects as it may."},
    {nullptr, nullptr, 0, nullptr},
};

PyObject* raise_handle_closed() {
  PyErr_SetString(PyExc_OSError, "handle is closed");
  return nullptr;
}

PyObject* simple_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  open_queue* const open = open_part(self);
  if (open == nullptr) return run_stock(self, "put", arguments, count, keywords);
  static const char* const names[] = {"obj", nullptr};
  std::array<PyObject*, 3> given{};
  if (count == 1 && keywords == nullptr) {
    given[0] = arguments[0];
  } else if (!sort("O:put", names, arguments, count, keywords, given)) {
    return nullptr;
  }
  return open->closed ? raise_handle_closed() : put_simple(*open, given[0]);
}

PyObject* simple_get(PyObject* self, PyObject*) {
  open_queue* const open = open_part(self);
  if (open == nullptr) return run_stock(self, "get", nullptr, 0, nullptr);
  return open->closed ? raise_handle_closed() : get(*open, true, Py_None);
}

PyMethodDef simple_methods[] = {
    {"put", py::as_method(simple_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, /, obj)\n--\n\nPut an object on the queue; waits while its memory is full."},
    {"get", simple_get, METH_NOARGS,
     "get($self, /)\n--\n\nRemove and return an object from the queue; waits while it is empty."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot queue_slots[] = {
    {Py_tp_doc, const_cast<char*>("The base of the native multiprocessing Queue and JoinableQueue.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {Py_tp_methods, queue_methods},
    {0, nullptr},
};

PyType_Slot simple_slots[] = {
    {Py_tp_doc, const_cast<char*>("The base of the native multiprocessing SimpleQueue.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {Py_tp_methods, simple_methods},
    {0, nullptr},
};

PyType_Spec queue_spec = {
    .name = "triga._core.ProcessQueue",
    .basicsize = sizeof(queue_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = queue_slots,
};

PyType_Spec simple_spec = {
    .name = "triga._core.SimpleProcessQueue",
    .basicsize = sizeof(queue_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = simple_slots,
};

}  // namespace

PyObject* make_process_queue_type(PyObject* module) {
  return PyType_FromModuleAndSpec(module, &queue_spec, nullptr);
}

PyObject* make_simple_process_queue_type(PyObject* module) {
  return PyType_FromModuleAndSpec(module, &simple_spec, nullptr);
}

}  // namespace triga::ipc
