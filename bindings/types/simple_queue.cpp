// SPDX-License-Identifier: MIT
// _queue.SimpleQueue: an unbounded first-in-first-out queue without task tracking.
//
// All members are guarded by the GIL, which no method lets go of between its first look and its last change,
// so put() is re-entrant from a destructor or a signal handler. A type is made for each copy of module _queue
// (or queue, where _queue is missing); it has a ClassFamily, where Empty is looked up.
#include <Python.h>
#include <structmember.h>

#include <array>

#include "bindings/module_state.h"
#include "bindings/py/arguments.h"
#include "bindings/py/parking.h"
#include "bindings/py/timeout.h"
#include "bindings/types/class_family.h"
#include "bindings/types/register_types.h"
#include "runtime/base/ring.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

// The size is CPython's own (3.13 and later), as is the ring's growth: a test of the standard library pins
// both.
struct simple_queue_object {
  PyObject_HEAD sync::wait_list getters;
  ring<PyObject*> items;  // owns a reference to each
  PyObject* weak_references;
};

static_assert(sizeof(simple_queue_object) == sizeof(PyObject) + 7 * sizeof(void*));

simple_queue_object& as_simple_queue(PyObject* self) { return *reinterpret_cast<simple_queue_object*>(self); }

PyObject* simple_queue_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  if (PyTuple_GET_SIZE(arguments) != 0 || (keywords != nullptr && PyDict_GET_SIZE(keywords) != 0)) {
    return PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name);
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr || as_simple_queue(self).items.reserve()) return self;
  Py_DECREF(self);
  return PyErr_NoMemory();
}

int simple_queue_traverse(PyObject* self, visitproc visit, void* arg) {
  const ring<PyObject*>& items = as_simple_queue(self).items;
  Py_VISIT(Py_TYPE(self));
  for (std::size_t i = 0; i < items.size(); ++i) Py_VISIT(items[i]);
  return 0;
}

int simple_queue_clear(PyObject* self) {
  ring<PyObject*>& items = as_simple_queue(self).items;
  // One at a time: what a destructor puts or gets meanwhile finds a whole queue.
  while (!items.empty()) Py_DECREF(items.pop());
  return 0;
}

void simple_queue_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (as_simple_queue(self).weak_references != nullptr) PyObject_ClearWeakRefs(self);
  simple_queue_clear(self);
  as_simple_queue(self).items.release();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* put(PyObject* self, PyObject* item) {
  simple_queue_object& queue = as_simple_queue(self);
  if (!queue.items.push(item)) return PyErr_NoMemory();
  Py_INCREF(item);
  queue.getters.notify();
  trace::count(trace::counter::queue_operations);
  Py_RETURN_NONE;
}

PyObject* take(simple_queue_object& queue) {
  trace::count(trace::counter::queue_operations);
  return queue.items.pop();
}

PyObject* raise_empty(PyObject* self) {
  const queue_state& state = state_of(Py_TYPE(self)).queues;
  const py::ref family = py::ref::steal(family_of(Py_TYPE(self), state));
  if (!family) return nullptr;
  return raise_from_family(*reinterpret_cast<class_family*>(family.get()), "Empty");
}

// The deadline that block and timeout mean. False with an exception.
bool read_deadline(PyObject* block, PyObject* timeout, bool& blocks, time_point& deadline) {
  const int truth = PyObject_IsTrue(block);
  if (truth < 0) return false;
  blocks = truth != 0;
  deadline = never;
  if (!blocks || timeout == Py_None) return true;
  const int negative = py::is_negative(timeout);
  if (negative > 0) PyErr_SetString(PyExc_ValueError, "'timeout' must be a non-negative number");
  return negative == 0 && py::deadline_in(timeout, deadline);
}

PyObject* get(PyObject* self, PyObject* block, PyObject* timeout) {
  simple_queue_object& queue = as_simple_queue(self);
  bool blocks = true;
  time_point deadline = never;
  if ((block != Py_True || timeout != Py_None) && !read_deadline(block, timeout, blocks, deadline))
    return nullptr;
  while (queue.items.empty()) {
    if (!blocks) return raise_empty(self);
    py::parking place(queue.getters);
    const py::park_outcome outcome = place.wait(deadline);
    if (outcome == py::park_outcome::failed) return nullptr;
    // An item may have come at the last moment, or without a notification for this thread.
    if (outcome == py::park_outcome::timed_out && queue.items.empty()) return raise_empty(self);
  }
  return take(queue);
}

PyObject* simple_queue_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count == 1 && keywords == nullptr) return put(self, arguments[0]);
  const auto& names = state_of(Py_TYPE(self)).queues.names;
  const std::array order{names.item.get(), names.block.get(), names.timeout.get()};
  std::array<PyObject*, 3> values{nullptr, Py_True, Py_None};
  if (!py::sort_arguments("SimpleQueue.put", order, 1, arguments, count, keywords, values)) return nullptr;
  return put(self, values[0]);
}

PyObject* simple_queue_put_nowait(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                                  PyObject* keywords) {
  if (count == 1 && keywords == nullptr) return put(self, arguments[0]);
  const std::array order{state_of(Py_TYPE(self)).queues.names.item.get()};
  std::array<PyObject*, 1> values{nullptr};
  if (!py::sort_arguments("SimpleQueue.put_nowait", order, 1, arguments, count, keywords, values))
    return nullptr;
  return put(self, values[0]);
}

PyObject* simple_queue_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  if (count == 0 && keywords == nullptr) return get(self, Py_True, Py_None);
  const auto& names = state_of(Py_TYPE(self)).queues.names;
  const std::array order{names.block.get(), names.timeout.get()};
  std::array<PyObject*, 2> values{Py_True, Py_None};
  if (!py::sort_arguments("SimpleQueue.get", order, 0, arguments, count, keywords, values)) return nullptr;
  return get(self, values[0], values[1]);
}

PyObject* simple_queue_get_nowait(PyObject* self, PyObject*) { return get(self, Py_False, Py_None); }

PyObject* simple_queue_qsize(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(as_simple_queue(self).items.size());
}

PyObject* simple_queue_empty(PyObject* self, PyObject*) {
  return PyBool_FromLong(as_simple_queue(self).items.empty());
}

PyObject* simple_queue_sizeof(PyObject* self, PyObject*) {
  return PyLong_FromSize_t(static_cast<std::size_t>(Py_TYPE(self)->tp_basicsize) +
                           as_simple_queue(self).items.capacity() * sizeof(PyObject*));
}

PyMethodDef simple_queue_methods[] = {
    {"put", reinterpret_cast<PyCFunction>(simple_queue_put), METH_FASTCALL | METH_KEYWORDS,
     "put($self, /, item, block=True, timeout=None)\n--\n\nPut the item on the queue.\n\n"
     "The optional 'block' and 'timeout' arguments are ignored, as this method\n"
     "never blocks.  They are provided for compatibility with the Queue class."},
    {"put_nowait", reinterpret_cast<PyCFunction>(simple_queue_put_nowait), METH_FASTCALL | METH_KEYWORDS,
     "put_nowait($self, /, item)\n--\n\nPut an item into the queue: put(item)."},
    {"get", reinterpret_cast<PyCFunction>(simple_queue_get), METH_FASTCALL | METH_KEYWORDS,
     "get($self, /, block=True, timeout=None)\n--\n\nRemove and return an item from the queue.\n\n"
     "Blocks while the queue is empty if block is true, at most timeout seconds if timeout is not None; "
     "raises Empty\n"
     "where no item came."},
    {"get_nowait", simple_queue_get_nowait, METH_NOARGS,
     "get_nowait($self, /)\n--\n\nRemove and return an item from the queue without blocking, or raise "
     "Empty."},
    {"qsize", simple_queue_qsize, METH_NOARGS,
     "qsize($self, /)\n--\n\nReturn the approximate size of the queue (not reliable!)."},
    {"empty", simple_queue_empty, METH_NOARGS,
     "empty($self, /)\n--\n\nReturn True if the queue is empty, False otherwise (not reliable!)."},
    {"__sizeof__", simple_queue_sizeof, METH_NOARGS, "__sizeof__($self, /)\n--\n\nReturn size in bytes."},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "See PEP 585"},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef simple_queue_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(simple_queue_object, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot simple_queue_slots[] = {
    {Py_tp_doc, const_cast<char*>("SimpleQueue()\n--\n\nSimple, unbounded, reentrant FIFO queue.")},
    {Py_tp_new, reinterpret_cast<void*>(simple_queue_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(simple_queue_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(simple_queue_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(simple_queue_clear)},
    {Py_tp_methods, simple_queue_methods},
    {Py_tp_members, simple_queue_members},
    {0, nullptr},
};

PyType_Spec simple_queue_spec = {
    .name = "_queue.SimpleQueue",
    .basicsize = sizeof(simple_queue_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = simple_queue_slots,
};

}  // namespace

PyObject* new_simple_queue_type(PyObject* module) {
  return PyType_FromModuleAndSpec(module, &simple_queue_spec, nullptr);
}

}  // namespace triga
