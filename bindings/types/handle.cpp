// SPDX-License-Identifier: MIT
#include "bindings/types/handle.h"

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/raised.h"

namespace triga::handles {
namespace {

state& state_of_handle(PyObject* handle) noexcept {
  return triga::state_of(static_cast<PyObject*>(PyType_GetModule(Py_TYPE(handle)))).loop.handles;
}

// Gives the exception that is set to triga._loop.reports, which tells the loop's exception handler.
bool report(const state& types, PyObject* handle) {
  const py::ref error = py::take_raised();
  return static_cast<bool>(
      py::ref::steal(PyObject_CallFunctionObjArgs(types.report_failure.get(), handle, error.get(), nullptr)));
}

PyObject* new_ref_or_none(PyObject* object) noexcept {
  return Py_NewRef(object != nullptr ? object : Py_None);
}

void set_slot(PyObject* handle, Py_ssize_t offset, PyObject* value) noexcept {
  PyObject* old = std::exchange(slot(handle, offset), Py_NewRef(value));
  Py_XDECREF(old);
}

// ---- making
// --------------------------------------------------------------------------------------------------------

PyObject* pack(PyObject* const* args, Py_ssize_t count) {
  PyObject* tuple = PyTuple_New(count);  // the empty one is a singleton
  if (tuple == nullptr) return nullptr;
  for (Py_ssize_t at = 0; at < count; ++at) PyTuple_SET_ITEM(tuple, at, Py_NewRef(args[at]));
  return tuple;
}

PyObject* allocate(PyTypeObject* type, free_list& free) {
  if (PyObject* memory = free.take()) return PyObject_Init(memory, type);
  PyObject* fresh = PyType_GenericAlloc(type, 0);
  if (fresh != nullptr) PyObject_GC_UnTrack(fresh);
  return fresh;
}

bool fill(const layout& slots, PyObject* handle, PyObject* loop, PyObject* callback, PyObject* const* args,
          Py_ssize_t count, PyObject* context) {
  slot(handle, slots.callback) = Py_NewRef(callback);
  slot(handle, slots.loop) = Py_NewRef(loop);
  slot(handle, slots.cancelled) = Py_NewRef(Py_False);
  slot(handle, slots.source_traceback) = Py_NewRef(Py_None);
  slot(handle, slots.repr) = Py_NewRef(Py_None);
  PyObject* packed = slot(handle, slots.args) = pack(args, count);
  const bool current = context == nullptr || context == Py_None;
  PyObject* entered = slot(handle, slots.context) = current ? PyContext_CopyCurrent() : Py_NewRef(context);
  return packed != nullptr && entered != nullptr;
}

// ---- a handle's own methods
// ----------------------------------------------------------------------------------------

// Handle.cancel() without the notice to the loop that TimerHandle adds.
bool cancel_plain(const state& types, PyObject* handle) {
  const layout& slots = types.slots;
  set_slot(handle, slots.cancelled, Py_True);
  py::ref debug = py::ref::steal(PyObject_CallMethod(slot(handle, slots.loop), "get_debug", nullptr));
  if (!debug) return false;
  if (PyObject_IsTrue(debug.get()) == 1) {
    py::ref text = py::ref::steal(PyObject_Repr(handle));
    if (!text) return false;
    set_slot(handle, slots.repr, text.get());
  }
  set_slot(handle, slots.callback, Py_None);
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
  py::ref told =
      py::ref::steal(PyObject_CallMethod(slot(self, types.slots.loop), "_timer_handle_cancelled", "O", self));
  if (!told || !cancel_plain(types, self)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* handle_cancelled(PyObject* self, PyObject*) {
  return new_ref_or_none(slot(self, state_of_handle(self).slots.cancelled));
}

PyObject* handle_run(PyObject* self, PyObject*) {
  if (!run(state_of_handle(self), self)) return nullptr;
  Py_RETURN_NONE;
}

// ---- life
// ----------------------------------------------------------------------------------------------------------

template <class Each>
int each_slot(const layout& slots, bool timer, Each each) {
  for (const Py_ssize_t offset : {slots.callback, slots.args, slots.context, slots.loop, slots.cancelled,
                                  slots.source_traceback, slots.repr}) {
    if (const int stop = each(offset); stop != 0) return stop;
  }
  if (!timer) return 0;
  if (const int stop = each(slots.when); stop != 0) return stop;
  return each(slots.scheduled);
}

template <bool Timer>
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return each_slot(state_of_handle(self).slots, Timer, [&](Py_ssize_t offset) {
    Py_VISIT(slot(self, offset));
    return 0;
  });
}

template <bool Timer>
int clear(PyObject* self) {
  return each_slot(state_of_handle(self).slots, Timer, [&](Py_ssize_t offset) {
    Py_CLEAR(slot(self, offset));
    return 0;
  });
}

template <bool Timer>
void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  state& types = state_of_handle(self);
  PyObject_GC_UnTrack(self);
  PyObject_ClearWeakRefs(self);
  clear<Timer>(self);
  if (!(Timer ? types.free_timers : types.free_handles).put(self)) type->tp_free(self);
  Py_DECREF(type);  // an instance of a heap type owns a reference to it
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

template <bool Timer>
PyType_Slot* slots_of(PyMethodDef* methods) {
  static PyType_Slot slots[] = {
      {Py_tp_methods, nullptr},
      {Py_tp_traverse, reinterpret_cast<void*>(traverse<Timer>)},
      {Py_tp_clear, reinterpret_cast<void*>(clear<Timer>)},
      {Py_tp_dealloc, reinterpret_cast<void*>(dealloc<Timer>)},
      {0, nullptr},
  };
  slots[0].pfunc = methods;
  return slots;
}

// ---- the types
// -----------------------------------------------------------------------------------------------------

[[noreturn]] void refuse(const char* what) {
  PyErr_Format(PyExc_RuntimeError, "this asyncio is unlike any that triga knows: %s", what);
  throw pybind11::error_already_set();
}

Py_ssize_t offset_of(PyObject* type, const char* name) {
  py::ref member = py::ref::steal(PyObject_GetAttrString(type, name));
  if (!member) throw pybind11::error_already_set();
  if (!Py_IS_TYPE(member.get(), &PyMemberDescr_Type)) refuse(name);
  return reinterpret_cast<PyMemberDescrObject*>(member.get())->d_member->offset;
}

layout layout_of(PyObject* handle, PyObject* timer) {
  return {.callback = offset_of(handle, "_callback"),
          .args = offset_of(handle, "_args"),
          .cancelled = offset_of(handle, "_cancelled"),
          .loop = offset_of(handle, "_loop"),
          .source_traceback = offset_of(handle, "_source_traceback"),
          .repr = offset_of(handle, "_repr"),
          .context = offset_of(handle, "_context"),
          .scheduled = offset_of(timer, "_scheduled"),
          .when = offset_of(timer, "_when")};
}

py::ref make_type(PyObject* core, PyObject* base, const char* name, PyType_Slot* slots) {
  // asyncio's own names: type(handle).__name__ and repr(handle) read as ever.
  PyType_Spec spec = {.name = name,
                      .basicsize = static_cast<int>(reinterpret_cast<PyTypeObject*>(base)->tp_basicsize),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                      .slots = slots};
  py::ref bases = py::ref::steal(PyTuple_Pack(1, base));
  if (!bases) throw pybind11::error_already_set();
  py::ref type = py::ref::steal(PyType_FromModuleAndSpec(core, &spec, bases.get()));
  if (!type) throw pybind11::error_already_set();
  if (type.type()->tp_basicsize != reinterpret_cast<PyTypeObject*>(base)->tp_basicsize)
    refuse("a handle's size");
  return type;
}

}  // namespace

void free_list::close() noexcept {
  closed_ = true;
  while (count_ > 0) PyObject_GC_Del(items_[--count_]);
}

int state::traverse(visitproc visit, void* arg) const {
  Py_VISIT(handle.get());
  Py_VISIT(timer.get());
  Py_VISIT(report_failure.get());
  Py_VISIT(extract_stack.get());
  return 0;
}

void state::clear() {
  free_handles.close();
  free_timers.close();
  handle.reset();
  timer.reset();
  report_failure.reset();
  extract_stack.reset();
}

void make_types(PyObject* core, PyObject* handle, PyObject* timer) {
  state& types = triga::state_of(core).loop.handles;
  const layout found = layout_of(handle, timer);
  if (types.handle && found != types.slots) refuse("two copies of it differ");
  types.slots = found;
  // Handles of an earlier copy of asyncio keep their type; memory on the free lists may be of its size only.
  types.handle = make_type(core, handle, "asyncio.events.Handle", slots_of<false>(handle_methods));
  types.timer = make_type(core, timer, "asyncio.events.TimerHandle", slots_of<true>(timer_methods));
}

PyObject* make(state& types, PyObject* loop, PyObject* callback, PyObject* const* args, Py_ssize_t count,
               PyObject* context) {
  PyObject* handle = allocate(types.handle.type(), types.free_handles);
  if (handle == nullptr) return nullptr;
  if (fill(types.slots, handle, loop, callback, args, count, context)) return handle;
  Py_DECREF(handle);
  return nullptr;
}

PyObject* make_timer(state& types, PyObject* loop, PyObject* when, PyObject* callback, PyObject* const* args,
                     Py_ssize_t count, PyObject* context) {
  PyObject* handle = allocate(types.timer.type(), types.free_timers);
  if (handle == nullptr) return nullptr;
  slot(handle, types.slots.when) = Py_NewRef(when);
  slot(handle, types.slots.scheduled) = Py_NewRef(Py_True);
  if (fill(types.slots, handle, loop, callback, args, count, context)) return handle;
  Py_DECREF(handle);
  return nullptr;
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

bool run(state& types, PyObject* handle) {
  const layout& slots = types.slots;
  // A reference of our own to each: the callback may cancel its handle, which empties the slots.
  const py::ref context = py::ref::borrow(slot(handle, slots.context));
  const py::ref callback = py::ref::borrow(slot(handle, slots.callback));
  const py::ref args = py::ref::borrow(slot(handle, slots.args));
  PyObject* result = nullptr;
  if (PyContext_Enter(context.get()) == 0) {
    result = PyObject_Call(callback.get(), args.get(), nullptr);
    // Fails only if the callback left another context entered, which then is the error to report.
    if (PyContext_Exit(context.get()) != 0) Py_CLEAR(result);
  }
  if (result != nullptr) {
    Py_DECREF(result);
    return true;
  }
  if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
    return false;
  return report(types, handle);
}

}  // namespace triga::handles
