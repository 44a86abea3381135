// SPDX-License-Identifier: MIT
// Handles: the making of one, and the taking apart of one that nobody holds.
#include <utility>

#include "bindings/types/handle.h"

namespace triga::handles {
namespace {

PyObject* pack(PyObject* const* args, Py_ssize_t count) {
  PyObject* tuple = PyTuple_New(count);
  if (tuple == nullptr) return nullptr;
  for (Py_ssize_t at = 0; at < count; ++at) PyTuple_SET_ITEM(tuple, at, Py_NewRef(args[at]));
  return tuple;
}

PyObject* allocate(const state& types, PyTypeObject* type, free_list& free) {
  if (PyObject* memory = free.take()) return PyObject_Init(memory, type);
  PyObject* fresh = PyType_GenericAlloc(type, 0);
  if (fresh == nullptr) return nullptr;
  PyObject_GC_UnTrack(fresh);
  make_blank(types.slots, fresh);
  return fresh;
}

// A context that was given, or a snapshot of the current one. False with an exception set.
bool set_context(state& types, PyObject* handle, PyObject* context) {
  PyObject*& into = slot(handle, types.slots.context);
  if (context != nullptr && context != Py_None) {
    into = Py_NewRef(context);
    return true;
  }
  own(types, handle).snapshot = types.contexts.snapshot().release();
  if (own(types, handle).snapshot == nullptr) into = PyContext_CopyCurrent();
  return into != nullptr || own(types, handle).snapshot != nullptr;
}

// A tuple of them is made when somebody asks, unless they are many.
bool keep_arguments(const state& types, PyObject* handle, PyObject* const* args, Py_ssize_t count) {
  own_fields& mine = own(types, handle);
  if (static_cast<std::size_t>(count) > own_fields::most_arguments) {
    slot(handle, types.slots.args) = pack(args, count);
    return slot(handle, types.slots.args) != nullptr;
  }
  mine.count = static_cast<std::uint32_t>(count);
  for (std::size_t at = 0; at < mine.count; ++at) mine.arguments[at] = Py_NewRef(args[at]);
  return true;
}

bool fill(state& types, PyObject* handle, PyObject* loop, PyObject* callback, PyObject* const* args,
          Py_ssize_t count, PyObject* context) {
  const layout& slots = types.slots;
  slot(handle, slots.callback) = Py_NewRef(callback);
  slot(handle, slots.loop) = Py_NewRef(loop);
  return keep_arguments(types, handle, args, count) && set_context(types, handle, context);
}

}  // namespace

PyObject* make(state& types, PyObject* loop, PyObject* callback, PyObject* const* args, Py_ssize_t count,
               PyObject* context) {
  PyObject* handle = allocate(types, types.handle.type(), types.free_handles);
  if (handle == nullptr) return nullptr;
  if (fill(types, handle, loop, callback, args, count, context)) return handle;
  Py_DECREF(handle);
  return nullptr;
}

PyObject* make_timer(state& types, PyObject* loop, PyObject* when, PyObject* callback, PyObject* const* args,
                     Py_ssize_t count, PyObject* context) {
  PyObject* handle = allocate(types, types.timer.type(), types.free_timers);
  if (handle == nullptr) return nullptr;
  slot(handle, types.slots.when) = Py_NewRef(when);
  slot(handle, types.slots.scheduled) = Py_NewRef(Py_True);
  if (fill(types, handle, loop, callback, args, count, context)) return handle;
  Py_DECREF(handle);
  return nullptr;
}

PyObject* make_thread_safe(state& types, PyObject* loop, PyObject* callback, PyObject* const* args,
                           Py_ssize_t count, PyObject* context) {
  PyObject* handle = allocate(types, types.thread_safe.type(), types.free_thread_safe);
  if (handle == nullptr) return nullptr;
  if (fill(types, handle, loop, callback, args, count, context)) return handle;
  Py_DECREF(handle);
  return nullptr;
}

bool can_unwrap(state& types, PyObject* handle) noexcept {
  if (!is_queues_alone(types, handle)) return false;
  if (own(types, handle).count <= 1 || arguments_of(types, handle) != nullptr) return true;
  PyErr_Clear();
  return false;
}

bare_callback unwrap(state& types, PyObject* handle) noexcept {
  const layout& slots = types.slots;
  const bool is_plain = Py_IS_TYPE(handle, types.handle.type());
  bare_callback bare(std::exchange(slot(handle, slots.callback), nullptr), nullptr,
                     std::exchange(own(types, handle).snapshot, nullptr),
                     is_plain ? 0 : bare_callback::thread_safe);
  if (bare.context != nullptr) {
    bare.form |= bare_callback::with_snapshot;
  } else {
    bare.context = std::exchange(slot(handle, slots.context), nullptr);
  }
  if (slot(handle, slots.args) != nullptr) {
    bare.form |= bare_callback::with_tuple;
    bare.argument = std::exchange(slot(handle, slots.args), nullptr);
  } else if (std::exchange(own(types, handle).count, 0) == 1) {
    bare.argument = own(types, handle).arguments[0];
  }
  release_private(types, handle);
  return bare;
}

}  // namespace triga::handles
