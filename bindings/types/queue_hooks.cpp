// SPDX-License-Identifier: MIT
// _init, _qsize, _put and _get as a program calls them: `Queue._put(self, item)` from a subclass's own _put.
// A native operation whose class has them unchanged never comes here.
#include "bindings/types/queue.h"

namespace triga {
namespace {

template <queue_hook Kind>
PyObject* hook_init(PyObject* self, PyObject*) {
  if (!init_items(as_queue(self), Kind)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* hook_qsize(PyObject* self, PyObject*) {
  static constexpr queue_verdict native{.size = queue_hook::fifo};
  const Py_ssize_t size = size_of(as_queue(self), native);
  return size < 0 ? nullptr : PyLong_FromSsize_t(size);
}

template <bool (*Put)(queue_object&, PyObject*)>
PyObject* hook_put(PyObject* self, PyObject* item) {
  if (!Put(as_queue(self), item)) return nullptr;
  Py_RETURN_NONE;
}

template <PyObject* (*Get)(queue_object&)>
PyObject* hook_get(PyObject* self, PyObject*) {
  return Get(as_queue(self));
}

}  // namespace

PyMethodDef fifo_hooks[] = {
    {"_init", hook_init<queue_hook::fifo>, METH_O, "Initialize the queue representation."},
    {"_qsize", hook_qsize, METH_NOARGS, "The number of items."},
    {"_put", hook_put<append_item>, METH_O, "Put a new item in the queue."},
    {"_get", hook_get<take_first>, METH_NOARGS, "Get an item from the queue."},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef lifo_hooks[] = {
    {"_init", hook_init<queue_hook::lifo>, METH_O, "Initialize the queue representation."},
    {"_qsize", hook_qsize, METH_NOARGS, "The number of items."},
    {"_put", hook_put<append_item>, METH_O, "Put a new item in the queue."},
    {"_get", hook_get<take_last>, METH_NOARGS, "Get the newest item from the queue."},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef priority_hooks[] = {
    {"_init", hook_init<queue_hook::priority>, METH_O, "Initialize the queue representation."},
    {"_qsize", hook_qsize, METH_NOARGS, "The number of items."},
    {"_put", hook_put<push_heap>, METH_O, "Put a new item in the queue."},
    {"_get", hook_get<pop_heap>, METH_NOARGS, "Get the least item from the queue."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga
