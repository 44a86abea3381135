// SPDX-License-Identifier: MIT
// The least that asyncio's own tasks and futures can run on: a ring of callbacks, in C. No handle is made and
// none can be cancelled, no context is copied, there are no timers, no descriptors, no signals and no other
// threads. bench/programs/least_loop.py makes an event loop of it.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <array>
#include <cstddef>
#include <new>
#include <vector>

namespace {

constexpr std::size_t most_arguments = 3;

struct entry {
  PyObject* callback = nullptr;
  PyObject* context = nullptr;
  std::array<PyObject*, most_arguments> arguments{};
  std::size_t count = 0;
};

struct ring {
  PyObject_HEAD std::vector<entry>* entries;  // a power of two of them
  std::size_t first;
  std::size_t size;
  bool stopping;
};

ring* self_of(PyObject* object) { return reinterpret_cast<ring*>(object); }

entry& place(ring* self, std::size_t at) { return (*self->entries)[at & (self->entries->size() - 1)]; }

void grow(ring* self) {
  std::vector<entry> larger(self->entries->size() * 2);
  for (std::size_t i = 0; i < self->size; ++i) larger[i] = place(self, self->first + i);
  *self->entries = std::move(larger);
  self->first = 0;
}

PyObject* make(PyTypeObject* type, PyObject* /*arguments*/, PyObject* /*names*/) {
  constexpr std::size_t room = 1024;
  PyObject* const object = type->tp_alloc(type, 0);
  if (object == nullptr) return nullptr;
  self_of(object)->entries = new (std::nothrow) std::vector<entry>(room);
  if (self_of(object)->entries != nullptr) return object;
  Py_DECREF(object);
  return PyErr_NoMemory();
}

void let_go(const entry& each) {
  Py_DECREF(each.callback);
  Py_XDECREF(each.context);
  for (std::size_t i = 0; i < each.count; ++i) Py_DECREF(each.arguments[i]);
}

void dealloc(PyObject* object) {
  ring* const self = self_of(object);
  PyTypeObject* const type = Py_TYPE(object);
  for (; self->entries != nullptr && self->size > 0; --self->size) let_go(place(self, self->first++));
  delete self->entries;
  type->tp_free(object);
  Py_DECREF(type);
}

// call_soon(callback, *arguments, context=None)
PyObject* call_soon(PyObject* object, PyObject* const* given, Py_ssize_t size, PyObject* names) {
  const Py_ssize_t count = size - 1;
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  if (count < 0 || count > static_cast<Py_ssize_t>(most_arguments) || named > 1) {
    PyErr_SetString(PyExc_TypeError, "the least loop takes a callback, up to three arguments and a context");
    return nullptr;
  }
  ring* const self = self_of(object);
  if (self->size == self->entries->size()) grow(self);
  entry& added = place(self, self->first + self->size++);
  added.callback = Py_NewRef(given[0]);
  added.context = named == 1 && given[size] != Py_None ? Py_NewRef(given[size]) : nullptr;
  added.count = static_cast<std::size_t>(count);
  for (std::size_t i = 0; i < added.count; ++i) added.arguments[i] = Py_NewRef(given[i + 1]);
  Py_RETURN_NONE;
}

bool run(const entry& each) {
  if (each.context != nullptr && PyContext_Enter(each.context) != 0) return false;
  PyObject* const returned = PyObject_Vectorcall(each.callback, each.arguments.data(), each.count, nullptr);
  if (each.context != nullptr && PyContext_Exit(each.context) != 0) return false;
  Py_XDECREF(returned);
  return returned != nullptr;
}

bool run_first(ring* self) {
  const entry next = place(self, self->first++);
  --self->size;
  const bool ran = run(next);
  let_go(next);
  return ran;
}

// run_ready(): until stop() was called.
PyObject* run_ready(PyObject* object, PyObject* /*none*/) {
  ring* const self = self_of(object);
  self->stopping = false;
  while (!self->stopping) {
    if (self->size == 0) {
      PyErr_SetString(PyExc_RuntimeError, "nothing is scheduled, and the least loop waits for nothing else");
      return nullptr;
    }
    if (!run_first(self)) return nullptr;
  }
  Py_RETURN_NONE;
}

// run_pending(): until nothing is scheduled. What least_streams_native.cpp calls between two waits.
PyObject* run_pending(PyObject* object, PyObject* /*none*/) {
  ring* const self = self_of(object);
  while (self->size > 0) {
    if (!run_first(self)) return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* stop(PyObject* object, PyObject* /*none*/) {
  self_of(object)->stopping = true;
  Py_RETURN_NONE;
}

std::array<PyMethodDef, 5> methods{{
    {"call_soon", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call_soon)),
     METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"run_ready", &run_ready, METH_NOARGS, nullptr},
    {"run_pending", &run_pending, METH_NOARGS, nullptr},
    {"stop", &stop, METH_NOARGS, nullptr},
    {},
}};

std::array<PyType_Slot, 4> slots{{
    {Py_tp_new, reinterpret_cast<void*>(&make)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&dealloc)},
    {Py_tp_methods, methods.data()},
    {},
}};

PyType_Spec spec{"least_loop_ring.Ring", sizeof(ring), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                 slots.data()};

int fill(PyObject* module) {
  PyObject* const type = PyType_FromSpec(&spec);
  const int failed = type == nullptr ? -1 : PyModule_AddObjectRef(module, "Ring", type);
  Py_XDECREF(type);
  return failed;
}

std::array<PyModuleDef_Slot, 2> module_slots{{{Py_mod_exec, reinterpret_cast<void*>(&fill)}, {}}};

PyModuleDef definition{PyModuleDef_HEAD_INIT, "least_loop_ring", nullptr, 0,      nullptr,
                       module_slots.data(),   nullptr,           nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_least_loop_ring() { return PyModuleDef_Init(&definition); }
