// SPDX-License-Identifier: MIT
// Handles: the making of one, and the taking apart of one that nobody holds.
#include <utility>

#include "bindings/types/handle.h"

namespace triga::handles {
namespace {

PyObject* pack(PyObject* const* args, Py_ssize_t count) {
  PyObject* tuple = PyTuple_New(count);  // the empty one is a singleton
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

bool fill(state& types, PyObject* handle, PyObject* loop, PyObject* callback, PyObject* const* args,
          Py_ssize_t count, PyObject* context) {
  const layout& slots = types.slots;
  slot(handle, slots.callback) = Py_NewRef(callback);
  slot(handle, slots.loop) = Py_NewRef(loop);
  slot(handle, slots.args) = pack(args, count);
  return slot(handle, slots.args) != nullptr && set_context(types, handle, context);
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

bool can_unwrap(const state& types, PyObject* handle) noexcept {
  const layout& slots = types.slots;
  if (!Py_IS_TYPE(handle, types.handle.type()) && !Py_IS_TYPE(handle, types.thread_safe.type())) return false;
  if (Py_REFCNT(handle) > 1 || weakly_referenced(handle) || is_cancelled(types, handle)) return false;
  return is_callable_as_made(types, handle) &&
         (own(types, handle).snapshot != nullptr || slot(handle, slots.context) != nullptr);
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
  PyObject* const args = slot(handle, slots.args);
  const Py_ssize_t count = PyTuple_GET_SIZE(args);
  if (count > 1) {
    bare.form |= bare_callback::with_tuple;
    bare.argument = std::exchange(slot(handle, slots.args), nullptr);
  } else if (count == 1) {
    bare.argument = Py_NewRef(PyTuple_GET_ITEM(args, 0));
  }
  release_private(types, handle);
  return bare;
}

}  // namespace triga::handles
