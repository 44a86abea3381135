// SPDX-License-Identifier: MIT
// put() and put_nowait().
#include <array>

#include "bindings/py/arguments.h"
#include "bindings/py/ref.h"
#include "bindings/types/queue_operations.h"

namespace triga {
namespace {

// Waits until there is room. False as await().
bool await_room(queue_object& queue, const patience& asked, held& mutex) {
  const int bounded = is_bounded(queue);
  if (bounded <= 0) return bounded == 0;
  bool blocks = false;
  time_point deadline = never;
  if (!read_patience(asked, blocks, deadline)) return false;
  for (;;) {
    const queue_verdict* const verdict = verdict_of(queue);
    const int room = verdict != nullptr ? has_room(queue, *verdict) : -1;
    if (room != 0) return room > 0;
    if (!await(queue, not_full, asked, blocks, deadline, "Full", mutex)) return false;
    if (refuse_if_shut_down(queue)) return false;
  }
}

PyObject* put_holding_mutex(queue_object& queue, PyObject* item, const patience& asked) {
  const queue_verdict* verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_foreign(queue, *verdict)) {
    return run_stock(queue, "put", std::array{item, asked.block, asked.timeout});
  }
  if (!acquire_mutex(queue)) return nullptr;
  held mutex = held::yes;
  if (refuse_if_shut_down(queue) || !await_room(queue, asked, mutex)) {
    leave(queue, mutex);
    return became_foreign(queue) ? put_holding_mutex(queue, item, asked) : nullptr;
  }
  verdict = verdict_of(queue);
  if (verdict == nullptr || !put_item(queue, *verdict, item)) return leave(queue, mutex);
  ++queue.unfinished;
  queue.lists[not_empty].notify();
  count_queue_operation();
  return leave(queue, mutex, Py_NewRef(Py_None));
}

PyObject* put(queue_object& queue, PyObject* item, const patience& asked) {
  const queue_verdict* const verdict = ready(queue);
  if (verdict == nullptr) return nullptr;
  if (is_plain(queue, *verdict) && mutex_is_free(queue) && !queue.shut_down &&
      (queue.limit == 0 || (plain_size(queue) < queue.limit && is_harmless_timeout(asked.timeout)))) {
    if (!append_item(queue, item)) return nullptr;
    ++queue.unfinished;
    queue.lists[not_empty].notify();
    count_queue_operation();
    Py_RETURN_NONE;
  }
  return put_holding_mutex(queue, item, asked);
}

}  // namespace

PyObject* queue_put(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  if (count == 1 && keywords == nullptr) return put(queue, arguments[0], {});
  const auto& names = queue.state->names;
  const std::array order{names.item.get(), names.block.get(), names.timeout.get()};
  std::array<PyObject*, 3> values{nullptr, Py_True, Py_None};
  if (!py::sort_arguments("Queue.put", order, 1, arguments, count, keywords, values)) return nullptr;
  return put(queue, values[0], {values[1], values[2]});
}

PyObject* queue_put_nowait(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  const auto& names = queue.state->names;
  const std::array order{names.item.get()};
  std::array<PyObject*, 1> values{nullptr};
  if (!py::sort_arguments("Queue.put_nowait", order, 1, arguments, count, keywords, values)) return nullptr;
  const queue_verdict* const verdict = verdict_of(queue);
  if (verdict == nullptr) return nullptr;
  if (verdict->own_put) return put(queue, values[0], {Py_False, Py_None});
  const py::ref method = py::ref::steal(PyObject_GetAttr(self, names.put.get()));
  const py::ref block_only = py::ref::steal(PyTuple_Pack(1, names.block.get()));
  if (!method || !block_only) return nullptr;
  PyObject* const call[] = {values[0], Py_False};
  return PyObject_Vectorcall(method.get(), call, 1, block_only.get());
}

}  // namespace triga
