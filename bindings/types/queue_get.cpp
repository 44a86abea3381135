// SPDX-License-Identifier: MIT
// get() and get_nowait().
#include <array>

#include "bindings/py/arguments.h"
#include "bindings/py/ref.h"
#include "bindings/types/queue_operations.h"

namespace triga {
namespace {

bool refuse_if_drained(queue_object& queue, Py_ssize_t size) {
  return size == 0 && refuse_if_shut_down(queue);
}

// Waits until there is an item. False as await().
bool await_item(queue_object& queue, const patience& asked, held& mutex) {
  bool blocks = false;
  bool read = false;
  time_point deadline = never;
  for (;;) {
    const queue_verdict* const verdict = verdict_of(queue);
    const Py_ssize_t size = verdict != nullptr ? size_of(queue, *verdict) : -1;
    if (size < 0 || refuse_if_drained(queue, size)) return false;
    if (!read && !read_patience(asked, blocks, deadline)) return false;
    read = true;
    if (size > 0) return true;
    if (!await(queue, not_empty, asked, blocks, deadline, "Empty", mutex)) return false;
  }
}

PyObject* get_holding_mutex(queue_object& queue, const patience& asked) {
  const queue_verdict* verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) return run_stock(queue, "get", std::array{asked.block, asked.timeout});
  if (!acquire_mutex(queue)) return nullptr;
  held mutex = held::yes;
  if (!await_item(queue, asked, mutex)) {
    leave(queue, mutex);
    return became_foreign(queue) ? get_holding_mutex(queue, asked) : nullptr;
  }
  verdict = verdict_of(queue);
  PyObject* const item = verdict != nullptr ? get_item(queue, *verdict) : nullptr;
  if (item != nullptr) {
    queue.lists[not_full].notify();
    count_queue_operation();
  }
  return leave(queue, mutex, item);
}

PyObject* get(queue_object& queue, const patience& asked) {
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_plain(queue, *verdict) && mutex_is_free(queue) && plain_size(queue) > 0 &&
      is_harmless_timeout(asked.timeout)) {
    PyObject* const item = verdict->get == queue_hook::fifo ? take_first(queue) : take_last(queue);
    if (item == nullptr) return nullptr;
    queue.lists[not_full].notify();
    count_queue_operation();
    return item;
  }
  return get_holding_mutex(queue, asked);
}

}  // namespace

PyObject* queue_get(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  if (count == 0 && keywords == nullptr) return get(queue, {});
  const auto& names = queue.state->names;
  const std::array order{names.block.get(), names.timeout.get()};
  std::array<PyObject*, 2> values{Py_True, Py_None};
  if (!py::sort_arguments("Queue.get", order, 0, arguments, count, keywords, values)) return nullptr;
  return get(queue, {values[0], values[1]});
}

PyObject* queue_get_nowait(PyObject* self, PyObject*) {
  queue_object& queue = as_queue(self);
  const queue_verdict* const verdict = verdict_of(queue);
  if (verdict == nullptr) return nullptr;
  if (verdict->own_get) return get(queue, {Py_False, Py_None});
  const auto& names = queue.state->names;
  const py::ref method = py::ref::steal(PyObject_GetAttr(self, names.get.get()));
  const py::ref block_only = py::ref::steal(PyTuple_Pack(1, names.block.get()));
  if (!method || !block_only) return nullptr;
  PyObject* const call[] = {Py_False};
  return PyObject_Vectorcall(method.get(), call, 0, block_only.get());
}

}  // namespace triga
