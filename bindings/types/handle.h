// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "bindings/py/ref.h"
#include "bindings/types/bare_callback.h"
#include "bindings/types/context_cache.h"
#include "bindings/types/handle_layout.h"

// Native handles under asyncio.Handle and asyncio.TimerHandle.
//
// asyncio.Handle is a Python class with __slots__, and programs look at the slots (handle._callback,
// handle._context). So the native types derive from asyncio's own and store into the base's slots, at the
// offsets that its member descriptors tell. isinstance(), attributes, weak references, repr() and comparisons
// are asyncio's own; only making, cancelling, running and freeing is C, and `_context`, which is made when it
// is first asked for.
namespace triga::handles {

// What the native types add.
struct own_fields {
  static constexpr std::size_t most_arguments = 3;

  PyObject* snapshot;    // of context_cache, while the slot for the context is empty
  std::uint32_t ticket;  // of a timer on the loop's heap
  std::uint32_t count;   // of the arguments that are here, while the slot for the tuple of them is empty
  std::array<PyObject*, most_arguments> arguments;
};

// Freed handles of one type, for the next ones: an event loop makes and frees one for every step of every
// task. They are empty but for what every new one has (make_blank()), so that it need not be taken out and
// put back each time. Used under the GIL; a part of the module's state.
class free_list {
 public:
  [[nodiscard]] PyObject* take() noexcept { return count_ > 0 ? items_[--count_] : nullptr; }
  [[nodiscard]] bool put(PyObject* memory) noexcept {
    if (closed_ || count_ == items_.size()) return false;
    items_[count_++] = memory;
    return true;
  }
  // Gives all memory back and takes no more.
  void close() noexcept;

 private:
  std::array<PyObject*, 1024> items_{};
  std::size_t count_ = 0;
  bool closed_ = false;
};

struct state {
  py::ref handle;  // the native types
  py::ref timer;
  py::ref thread_safe;       // null before 3.14, as is its base
  py::ref thread_safe_base;  // asyncio's own, whose methods do what needs the lock
  py::ref new_lock;          // threading.RLock
  layout slots;
  free_list free_handles;
  free_list free_timers;
  free_list free_thread_safe;
  context_cache contexts;
  py::ref report_failure;  // triga._loop.reports.callback_failed
  py::ref extract_stack;   // asyncio.format_helpers.extract_stack

  int traverse(visitproc visit_one, void* argument) const;
  void clear();
};

// Makes the native types under asyncio's own; `thread_safe` may be None. Throws pybind11::error_already_set.
void make_types(PyObject* core, PyObject* handle, PyObject* timer, PyObject* thread_safe);

[[nodiscard]] inline PyObject*& slot(PyObject* handle, Py_ssize_t offset) noexcept {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(handle) + offset);
}

[[nodiscard]] inline own_fields& own(const state& types, PyObject* handle) noexcept {
  return *reinterpret_cast<own_fields*>(reinterpret_cast<char*>(handle) + types.slots.own);
}

// Puts into a handle what every new one has: not cancelled, no traceback, no repr of its own.
inline void make_blank(const layout& slots, PyObject* handle) noexcept {
  const auto put = [handle](Py_ssize_t offset, PyObject* value) {
    PyObject*& into = slot(handle, offset);
    if (into != value) Py_XSETREF(into, Py_NewRef(value));
  };
  put(slots.cancelled, Py_False);
  put(slots.source_traceback, Py_None);
  put(slots.repr, Py_None);
}

// A new handle, not yet tracked by the garbage collector (see visit()): callback, a tuple of the arguments,
// and the context (null: a copy of the current one).
PyObject* make(state& types, PyObject* loop, PyObject* callback, PyObject* const* args, Py_ssize_t count,
               PyObject* context);
// The same with a deadline, in seconds of loop.time(); `_scheduled` is True.
PyObject* make_timer(state& types, PyObject* loop, PyObject* when, PyObject* callback, PyObject* const* args,
                     Py_ssize_t count, PyObject* context);

[[nodiscard]] inline bool is_cancelled(const state& types, PyObject* handle) noexcept {
  return slot(handle, types.slots.cancelled) == Py_True;
}

// Has it its callback and its arguments? A program that holds a handle can put anything there.
[[nodiscard]] inline bool is_callable_as_made(const state& types, PyObject* handle) noexcept {
  PyObject* const args = slot(handle, types.slots.args);
  return slot(handle, types.slots.callback) != nullptr && (args == nullptr || PyTuple_CheckExact(args));
}

// Is `handle` of one of the native types, and so readable by its slots?
[[nodiscard]] inline bool is_native(const state& types, PyObject* handle) noexcept {
  const auto* type = reinterpret_cast<PyObject*>(Py_TYPE(handle));
  return type == types.handle.get() || type == types.timer.get() || type == types.thread_safe.get();
}

// Pending handles are many and short-lived, and collections that look at them all are half of the price of a
// burst. So a handle starts out untracked; track() it once somebody but the loop's queue holds it.
inline void track(PyObject* handle) {
  if (PyObject_GC_IsTracked(handle) == 0) PyObject_GC_Track(handle);
}

// For 3.14's call_soon_threadsafe(): cancel() and cancelled() from another thread block while the callback
// runs. asyncio makes and takes a lock for every such handle; here the lock is made when somebody could use
// it: at the first call of those methods, or when the handle is run while somebody else still holds it.
PyObject* make_thread_safe(state& types, PyObject* loop, PyObject* callback, PyObject* const* args,
                           Py_ssize_t count, PyObject* context);

// Does nobody but the queue have the handle, which is no timer's, and does it say no more than what to call?
[[nodiscard]] inline bool is_queues_alone(const state& types, PyObject* handle) noexcept {
  const layout& slots = types.slots;
  return Py_REFCNT(handle) == 1 &&
         (Py_IS_TYPE(handle, types.handle.type()) || Py_IS_TYPE(handle, types.thread_safe.type())) &&
         slot(handle, slots.weak) == nullptr && !is_cancelled(types, handle) &&
         is_callable_as_made(types, handle) &&
         (own(types, handle).snapshot != nullptr || slot(handle, slots.context) != nullptr);
}
// The same, and there was memory for what a bare callback needs.
[[nodiscard]] bool can_unwrap(state& types, PyObject* handle) noexcept;
// Frees such a handle, out of which callback, arguments and context were taken.
void release_private(state& types, PyObject* handle) noexcept;
// Takes the callback out of such a handle, and frees it.
[[nodiscard]] bare_callback unwrap(state& types, PyObject* handle) noexcept;

// For the loop's tp_traverse: a queued handle is visited like any object if it is tracked, or through to what
// it refers to if it is the queue's alone.
int visit(const state& types, PyObject* handle, visitproc visit_one, void* argument);

// The arguments of a handle, usually a tuple, which is made now if it has none yet. Null with an exception
// set.
PyObject* arguments_of(const state& types, PyObject* handle);
// Lets go of those that are no tuple yet.
void drop_arguments(const state& types, PyObject* handle) noexcept;
// The context of a handle, made now if it has a snapshot only. Null with an exception set.
PyObject* context_of(state& types, PyObject* handle);
// asyncio's own method of that name, of a thread-safe handle: it takes the handle's lock.
PyObject* by_asyncio(PyObject* handle, const char* method);

// Sets `_source_traceback`, in debug mode. False with an exception set.
bool set_source_traceback(state& types, PyObject* handle);

// As asyncio's Handle._run() of any kind of handle: runs the callback in its context; what it raises goes to
// the loop's exception handler. False with an exception set for SystemExit, KeyboardInterrupt and what the
// handler itself raises.
bool run(state& types, PyObject* handle);
// The same for a handle that is the queue's alone: it is freed first, and its memory serves the handle that
// the callback makes. Another is made if there is something to report.
bool run_queues_alone(state& types, PyObject* loop, PyObject* handle);
// The same for a callback without a handle, whose references it takes over.
bool run_bare(state& types, PyObject* loop, const bare_callback& callback);

}  // namespace triga::handles
