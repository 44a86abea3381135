// SPDX-License-Identifier: MIT
#include "bindings/types/handle.h"

#include <Python.h>

#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/loop.h"

namespace triga::handles {
namespace {

enum class kind { plain, timer, thread_safe };

loops::state& state_of_loops(PyObject* handle) noexcept {
  return triga::state_of(static_cast<PyObject*>(PyType_GetModule(Py_TYPE(handle)))).loop;
}

state& state_of_handle(PyObject* handle) noexcept { return state_of_loops(handle).handles; }

// The loop of a handle if it is one of triga's with nothing overridden, so that its fields can be used
// directly.
PyObject* plain_loop_of(PyObject* handle) noexcept {
  loops::state& types = state_of_loops(handle);
  PyObject* loop = slot(handle, types.handles.slots.loop);
  return reinterpret_cast<PyObject*>(Py_TYPE(loop)) == types.native_class.get() ? loop : nullptr;
}

PyObject* new_ref_or_none(PyObject* object) noexcept {
  return Py_NewRef(object != nullptr ? object : Py_None);
}

void set_slot(PyObject* handle, Py_ssize_t offset, PyObject* value) noexcept {
  PyObject* old = std::exchange(slot(handle, offset), Py_NewRef(value));
  Py_XDECREF(old);
}

// ---- a handle's own methods

// Of the handle's loop: 0 or 1, or -1 with an exception set.
int in_debug_mode(const state& types, PyObject* handle) {
  if (PyObject* loop = plain_loop_of(handle)) return loops::fields(loop).debug;
  const py::ref debug =
      py::ref::steal(PyObject_CallMethod(slot(handle, types.slots.loop), "get_debug", nullptr));
  return debug ? PyObject_IsTrue(debug.get()) : -1;
}

// Handle.cancel() without the notice to the loop that TimerHandle adds.
bool cancel_plain(const state& types, PyObject* handle) {
  const layout& slots = types.slots;
  set_slot(handle, slots.cancelled, Py_True);
  const int debug = in_debug_mode(types, handle);
  if (debug < 0) return false;
  if (debug == 1) {
    const py::ref text = py::ref::steal(PyObject_Repr(handle));
    if (!text) return false;
    set_slot(handle, slots.repr, text.get());
  }
  set_slot(handle, slots.callback, Py_None);
  drop_arguments(types, handle);
  set_slot(handle, slots.args, Py_None);
  return true;
}

PyObject* handle_cancel(PyObject* self, PyObject*) {
  const state& types = state_of_handle(self);
  if (!is_cancelled(types, self) && !cancel_plain(types, self)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* timer_cancel(PyObject* self, PyObject*) {
  const state& types = state_of_handle(self);
  if (is_cancelled(types, self)) Py_RETURN_NONE;
  if (PyObject* loop = plain_loop_of(self)) {
    loops::core_of(loop).cancel_timer(self);
  } else if (!py::ref::steal(
                 PyObject_CallMethod(slot(self, types.slots.loop), "_timer_handle_cancelled", "O", self))) {
    return nullptr;
  }
  if (!cancel_plain(types, self)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* handle_cancelled(PyObject* self, PyObject*) {
  return new_ref_or_none(slot(self, state_of_handle(self).slots.cancelled));
}

// ---- handles that other threads may cancel

PyObject* lock_of(PyObject* self) {
  state& types = state_of_handle(self);
  PyObject*& lock = slot(self, types.slots.lock);
  if (lock == nullptr) lock = PyObject_CallNoArgs(types.new_lock.get());
  return lock;
}

PyObject* thread_safe_cancel(PyObject* self, PyObject*) { return by_asyncio(self, "cancel"); }
PyObject* thread_safe_cancelled(PyObject* self, PyObject*) { return by_asyncio(self, "cancelled"); }
PyObject* thread_safe_run(PyObject* self, PyObject*) { return by_asyncio(self, "_run"); }
PyObject* thread_safe_lock(PyObject* self, void*) { return Py_XNewRef(lock_of(self)); }

PyObject* handle_run(PyObject* self, PyObject*) {
  state& types = state_of_handle(self);
  if (context_of(types, self) == nullptr || !run(types, self)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* get_context(PyObject* self, void*) { return Py_XNewRef(context_of(state_of_handle(self), self)); }

int set_given_context(PyObject* self, PyObject* value, void*) {
  state& types = state_of_handle(self);
  Py_XSETREF(slot(self, types.slots.context), Py_XNewRef(value));
  Py_CLEAR(own(types, self).snapshot);
  return 0;
}

PyObject* get_arguments(PyObject* self, void*) {
  return Py_XNewRef(arguments_of(state_of_handle(self), self));
}

int set_arguments(PyObject* self, PyObject* value, void*) {
  const state& types = state_of_handle(self);
  drop_arguments(types, self);
  Py_XSETREF(slot(self, types.slots.args), Py_XNewRef(value));
  return 0;
}

// ---- life

template <kind Kind, class Each>
int each_slot(const layout& slots, Each each) {
  for (const Py_ssize_t offset : {slots.callback, slots.args, slots.context, slots.loop, slots.cancelled,
                                  slots.source_traceback, slots.repr}) {
    if (const int stop = each(offset); stop != 0) return stop;
  }
  if constexpr (Kind == kind::timer) {
    if (const int stop = each(slots.when); stop != 0) return stop;
    return each(slots.scheduled);
  }
  return Kind == kind::thread_safe ? each(slots.lock) : 0;
}

template <kind Kind>
free_list& free_memory(state& types) noexcept {
  if constexpr (Kind == kind::timer) return types.free_timers;
  return Kind == kind::thread_safe ? types.free_thread_safe : types.free_handles;
}

template <kind Kind>
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  const state& types = state_of_handle(self);
  const own_fields& mine = own(types, self);
  Py_VISIT(mine.snapshot);
  for (std::size_t at = 0; at < mine.count; ++at) Py_VISIT(mine.arguments[at]);
  return each_slot<Kind>(types.slots, [&](Py_ssize_t offset) {
    Py_VISIT(slot(self, offset));
    return 0;
  });
}

template <kind Kind>
int empty(const state& types, PyObject* self) {
  Py_CLEAR(own(types, self).snapshot);
  drop_arguments(types, self);
  return each_slot<Kind>(types.slots, [&](Py_ssize_t offset) {
    Py_CLEAR(slot(self, offset));
    return 0;
  });
}

template <kind Kind>
int clear(PyObject* self) {
  return empty<Kind>(state_of_handle(self), self);
}

// Frees one that has no callback, arguments or context.
template <kind Kind>
void release_rest(state& types, PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  const layout& slots = types.slots;
  Py_CLEAR(slot(self, slots.loop));
  if constexpr (Kind == kind::timer) {
    Py_CLEAR(slot(self, slots.when));
    Py_CLEAR(slot(self, slots.scheduled));
  }
  if constexpr (Kind == kind::thread_safe) Py_CLEAR(slot(self, slots.lock));
  make_blank(slots, self);
  if (!free_memory<Kind>(types).put(self)) {
    empty<Kind>(types, self);
    type->tp_free(self);
  }
  Py_DECREF(type);  // an instance of a heap type owns a reference to it
}

template <kind Kind>
void release(state& types, PyObject* self) {
  const layout& slots = types.slots;
  Py_CLEAR(own(types, self).snapshot);
  drop_arguments(types, self);
  for (const Py_ssize_t offset : {slots.callback, slots.args, slots.context}) Py_CLEAR(slot(self, offset));
  release_rest<Kind>(types, self);
}

template <kind Kind>
void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  PyObject_ClearWeakRefs(self);
  release<Kind>(state_of_handle(self), self);
}

PyMethodDef handle_methods[] = {
    {"cancel", handle_cancel, METH_NOARGS, "Cancels the callback: it will not run."},
    {"cancelled", handle_cancelled, METH_NOARGS, "True if the callback was cancelled."},
    {"_run", handle_run, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef timer_methods[] = {
    {"cancel", timer_cancel, METH_NOARGS, "Cancels the callback: it will not run."},
    {"cancelled", handle_cancelled, METH_NOARGS, "True if the callback was cancelled."},
    {"_run", handle_run, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef thread_safe_methods[] = {
    {"cancel", thread_safe_cancel, METH_NOARGS, "Cancels the callback, from any thread: it will not run."},
    {"cancelled", thread_safe_cancelled, METH_NOARGS, "True if the callback was cancelled."},
    {"_run", thread_safe_run, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

template <kind Kind>
PyType_Slot* slots_of(PyMethodDef* methods) {
  static PyGetSetDef getset[] = {{"_context", get_context, set_given_context, nullptr, nullptr},
                                 {"_args", get_arguments, set_arguments, nullptr, nullptr},
                                 {"_lock", thread_safe_lock, nullptr, nullptr, nullptr},
                                 {}};
  if constexpr (Kind != kind::thread_safe) getset[2] = {};
  static PyType_Slot slots[] = {
      {Py_tp_methods, nullptr},
      {Py_tp_getset, getset},
      {Py_tp_traverse, reinterpret_cast<void*>(traverse<Kind>)},
      {Py_tp_clear, reinterpret_cast<void*>(clear<Kind>)},
      {Py_tp_dealloc, reinterpret_cast<void*>(dealloc<Kind>)},
      {0, nullptr},
  };
  slots[0].pfunc = methods;
  return slots;
}

// ---- the types

py::ref make_type(PyObject* core, const layout& found, PyObject* base, const char* name, PyType_Slot* slots) {
  const auto size = found.own + static_cast<Py_ssize_t>(sizeof(own_fields));
  // asyncio's own names: type(handle).__name__ and repr(handle) read as ever.
  PyType_Spec spec = {.name = name,
                      .basicsize = static_cast<int>(size),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                      .slots = slots};
  py::ref bases = py::ref::steal(PyTuple_Pack(1, base));
  if (!bases) py::throw_raised();
  py::ref type = py::ref::steal(PyType_FromModuleAndSpec(core, &spec, bases.get()));
  if (!type) py::throw_raised();
  if (type.type()->tp_basicsize != size) refuse("a handle's size");
  return type;
}

}  // namespace

PyObject* context_of(state& types, PyObject* handle) {
  PyObject*& context = slot(handle, types.slots.context);
  PyObject*& snapshot = own(types, handle).snapshot;
  if (context == nullptr && snapshot != nullptr) {
    context = PyContext_Copy(snapshot);
    if (context != nullptr) Py_CLEAR(snapshot);
  } else if (context == nullptr) {
    PyErr_SetString(PyExc_AttributeError, "_context");
  }
  return context;
}

PyObject* by_asyncio(PyObject* handle, const char* method) {
  if (lock_of(handle) == nullptr) return nullptr;
  return PyObject_CallMethod(state_of_handle(handle).thread_safe_base.get(), method, "O", handle);
}

PyObject* arguments_of(const state& types, PyObject* handle) {
  PyObject*& into = slot(handle, types.slots.args);
  if (into != nullptr) return into;
  own_fields& mine = own(types, handle);
  PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(mine.count));  // the empty one is a singleton
  if (tuple == nullptr) return nullptr;
  for (std::size_t at = 0; at < mine.count; ++at) {
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(at), mine.arguments[at]);
  }
  mine.count = 0;
  return into = tuple;
}

void drop_arguments(const state& types, PyObject* handle) noexcept {
  own_fields& mine = own(types, handle);
  while (mine.count > 0) Py_DECREF(mine.arguments[--mine.count]);
}

void release_private(state& types, PyObject* handle) noexcept {
  PyObject_GC_UnTrack(handle);  // somebody may have held it once
  if (Py_IS_TYPE(handle, types.thread_safe.type())) return release_rest<kind::thread_safe>(types, handle);
  release_rest<kind::plain>(types, handle);
}

void free_list::close() noexcept {
  closed_ = true;
  while (count_ > 0) {
    for (PyObject* each : {Py_False, Py_None, Py_None}) Py_DECREF(each);  // make_blank()'s
    PyObject_GC_Del(items_[--count_]);
  }
}

int state::traverse(visitproc visit, void* arg) const {
  Py_VISIT(handle.get());
  Py_VISIT(timer.get());
  Py_VISIT(thread_safe.get());
  Py_VISIT(thread_safe_base.get());
  Py_VISIT(new_lock.get());
  Py_VISIT(report_failure.get());
  Py_VISIT(extract_stack.get());
  return contexts.traverse(visit, arg);
}

void state::clear() {
  free_handles.close();
  free_timers.close();
  free_thread_safe.close();
  handle.reset();
  timer.reset();
  thread_safe.reset();
  thread_safe_base.reset();
  new_lock.reset();
  report_failure.reset();
  extract_stack.reset();
  contexts.forget();
}

void make_types(PyObject* core, PyObject* handle, PyObject* timer, PyObject* thread_safe) {
  state& types = triga::state_of(core).loop.handles;
  const layout found = layout_of(handle, timer, thread_safe);
  if (types.handle && found != types.slots) refuse("two copies of it differ");
  types.slots = found;
  types.contexts.probe();
  // Handles of an earlier copy of asyncio keep their type; memory on the free lists may be of its size only.
  types.handle =
      make_type(core, found, handle, "asyncio.events.Handle", slots_of<kind::plain>(handle_methods));
  types.timer =
      make_type(core, found, timer, "asyncio.events.TimerHandle", slots_of<kind::timer>(timer_methods));
  if (thread_safe == Py_None) return;
  types.thread_safe = make_type(core, found, thread_safe, "asyncio.events._ThreadSafeHandle",
                                slots_of<kind::thread_safe>(thread_safe_methods));
  types.thread_safe_base = py::ref::borrow(thread_safe);
  const py::ref threading = py::ref::steal(PyImport_ImportModule("threading"));
  if (threading) types.new_lock = py::ref::steal(PyObject_GetAttrString(threading.get(), "RLock"));
  if (!types.new_lock) py::throw_raised();
}

int visit(const state& types, PyObject* handle, visitproc visit_one, void* argument) {
  if (!is_native(types, handle) || Py_REFCNT(handle) > 1 || PyObject_GC_IsTracked(handle) != 0) {
    return visit_one(handle, argument);
  }
  return Py_TYPE(handle)->tp_traverse(handle, visit_one, argument);
}

bool set_source_traceback(state& types, PyObject* handle) {
  PyFrameObject* frame = PyEval_GetFrame();  // of whoever called call_soon()
  if (frame == nullptr) return true;
  py::ref stack =
      py::ref::steal(PyObject_CallOneArg(types.extract_stack.get(), reinterpret_cast<PyObject*>(frame)));
  if (!stack) return false;
  set_slot(handle, types.slots.source_traceback, stack.get());
  return true;
}

}  // namespace triga::handles
