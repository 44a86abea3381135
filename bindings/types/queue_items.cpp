// SPDX-License-Identifier: MIT
// The container under a queue and the hooks that work on it. The container is a real deque or list, as
// programs look at `q.queue`; a program may put anything else there that has the methods which the hook in
// use calls.
#include "bindings/py/ref.h"
#include "bindings/types/queue.h"

namespace triga {
namespace {

// Reference counts are kept by hand where Python code may run: it may let go of the GIL, and a thread that
// finds the interpreter finalized when it wants it back is unwound without it (see parking.h), when no
// destructor may touch them.
PyObject* borrow_from_globals(const queue_object& queue, const py::ref& name) {
  PyObject* const found = PyDict_GetItemWithError(queue.family->globals, name.get());
  if (found == nullptr && PyErr_Occurred() == nullptr) {
    PyErr_Format(PyExc_NameError, "name '%U' is not defined", name.get());
  }
  return found;
}

bool has_items(const queue_object& queue) {
  if (queue.items != nullptr) return true;
  PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute 'queue'",
               Py_TYPE(&queue.ob_base)->tp_name);
  return false;
}

// container.name(item), with the container kept alive while its method runs.
PyObject* call_container(queue_object& queue, const py::ref& name, PyObject* item = nullptr) {
  if (!has_items(queue)) return nullptr;
  PyObject* const items = Py_NewRef(queue.items);
  PyObject* const outcome = item != nullptr ? PyObject_CallMethodOneArg(items, name.get(), item)
                                            : PyObject_CallMethodNoArgs(items, name.get());
  Py_DECREF(items);
  return outcome;
}

// heapq.function(container[, item]), by the module's own name for it.
PyObject* call_heapq(queue_object& queue, const py::ref& name, PyObject* item = nullptr) {
  PyObject* const function = borrow_from_globals(queue, name);
  if (function == nullptr || !has_items(queue)) return nullptr;
  Py_INCREF(function);
  PyObject* const arguments[] = {Py_NewRef(queue.items), item};
  PyObject* const outcome = PyObject_Vectorcall(function, arguments, item != nullptr ? 2 : 1, nullptr);
  Py_DECREF(arguments[0]);
  Py_DECREF(function);
  return outcome;
}

// Drops what a call returned; false where it failed.
bool succeeded(PyObject* outcome) {
  Py_XDECREF(outcome);
  return outcome != nullptr;
}

}  // namespace

void set_items(queue_object& queue, PyObject* items) {
  PyObject* const old = queue.items;
  queue.items = items;
  queue.container = queue_container::other;
  if (items != nullptr && Py_IS_TYPE(items, queue.state->deque_type.type()))
    queue.container = queue_container::deque;
  if (items != nullptr && PyList_CheckExact(items)) queue.container = queue_container::list;
  Py_XDECREF(old);
}

bool init_items(queue_object& queue, queue_hook kind) {
  PyObject* const items =
      kind == queue_hook::fifo ? PyObject_CallNoArgs(queue.state->deque_type.get()) : PyList_New(0);
  if (items == nullptr) return false;
  set_items(queue, items);
  return true;
}

Py_ssize_t plain_size(const queue_object& queue) noexcept {
  return queue.container == queue_container::list
             ? PyList_GET_SIZE(queue.items)
             : Py_TYPE(queue.items)->tp_as_sequence->sq_length(queue.items);
}

Py_ssize_t size_of(queue_object& queue, const queue_verdict& verdict) {
  if (verdict.size != queue_hook::python) {
    if (queue.container != queue_container::other) return plain_size(queue);
    if (!has_items(queue)) return -1;
    PyObject* const items = Py_NewRef(queue.items);
    const Py_ssize_t size = PyObject_Size(items);
    Py_DECREF(items);
    return size;
  }
  const py::ref size =
      py::ref::steal(PyObject_CallMethodNoArgs(as_object(queue), queue.state->names.qsize_hook.get()));
  if (!size) return -1;
  const Py_ssize_t number = PyNumber_AsSsize_t(size.get(), PyExc_OverflowError);
  return number < 0 && PyErr_Occurred() == nullptr ? 0 : number;
}

bool append_item(queue_object& queue, PyObject* item) {
  if (queue.container == queue_container::deque) {
    return succeeded(queue.state->deque_append(queue.items, item));
  }
  if (queue.container == queue_container::list) return PyList_Append(queue.items, item) == 0;
  return succeeded(call_container(queue, queue.state->names.append, item));
}

PyObject* take_first(queue_object& queue) {
  if (queue.container == queue_container::deque) return queue.state->deque_popleft(queue.items, nullptr);
  return call_container(queue, queue.state->names.popleft);
}

PyObject* take_last(queue_object& queue) {
  if (queue.container != queue_container::list || PyList_GET_SIZE(queue.items) == 0) {
    return call_container(queue, queue.state->names.pop);
  }
  const Py_ssize_t last = PyList_GET_SIZE(queue.items) - 1;
  PyObject* const item = Py_NewRef(PyList_GET_ITEM(queue.items, last));
  if (PyList_SetSlice(queue.items, last, last + 1, nullptr) == 0) return item;
  Py_DECREF(item);
  return nullptr;
}

bool push_heap(queue_object& queue, PyObject* item) {
  return succeeded(call_heapq(queue, queue.state->names.heappush, item));
}

PyObject* pop_heap(queue_object& queue) { return call_heapq(queue, queue.state->names.heappop); }

bool put_item(queue_object& queue, const queue_verdict& verdict, PyObject* item) {
  switch (verdict.put) {
    case queue_hook::fifo:
    case queue_hook::lifo:
      return append_item(queue, item);
    case queue_hook::priority:
      return push_heap(queue, item);
    case queue_hook::python:
      break;
  }
  return succeeded(PyObject_CallMethodOneArg(as_object(queue), queue.state->names.put_hook.get(), item));
}

PyObject* get_item(queue_object& queue, const queue_verdict& verdict) {
  switch (verdict.get) {
    case queue_hook::fifo:
      return take_first(queue);
    case queue_hook::lifo:
      return take_last(queue);
    case queue_hook::priority:
      return pop_heap(queue);
    case queue_hook::python:
      break;
  }
  return PyObject_CallMethodNoArgs(as_object(queue), queue.state->names.get_hook.get());
}

}  // namespace triga
