// SPDX-License-Identifier: MIT
// Handles: the running of their callbacks, with a handle and without.
#include <utility>

#include "bindings/py/raised.h"
#include "bindings/types/handle.h"

namespace triga::handles {
namespace {

// Gives the exception that is set to triga._loop.reports, which tells the loop's exception handler.
bool report(const state& types, PyObject* handle) {
  const py::ref error = py::take_raised();
  return static_cast<bool>(
      py::ref::steal(PyObject_CallFunctionObjArgs(types.report_failure.get(), handle, error.get(), nullptr)));
}

bool ends_the_loop() noexcept {
  return PyErr_ExceptionMatches(PyExc_SystemExit) != 0 ||
         PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
}

// A callback's positional arguments, which somebody else keeps.
struct argument_list {
  PyObject* const* items;
  std::size_t count;
};

argument_list items_of(PyObject* tuple) noexcept {
  return {.items = reinterpret_cast<PyTupleObject*>(tuple)->ob_item,
          .count = static_cast<std::size_t>(PyTuple_GET_SIZE(tuple))};
}

// In a context that stays ours. Null with the callback's exception set.
PyObject* call_in(PyObject* context, PyObject* callback, const argument_list& args) {
  if (PyContext_Enter(context) != 0) return nullptr;
  PyObject* result = PyObject_Vectorcall(callback, args.items, args.count, nullptr);
  // Fails only if the callback left another context entered, which then is the error to report.
  if (PyContext_Exit(context) != 0) Py_CLEAR(result);
  return result;
}

// Calls it in a context with the snapshot's variables. False with the callback's exception set; `entered` is
// then the context that it was called in, or null if there was no memory for one.
bool call_in_spare(state& types, PyObject* snapshot, PyObject* callback, const argument_list& args,
                   py::ref& entered) {
  entered = types.contexts.enterable(snapshot);
  if (!entered || !py::ref::steal(call_in(entered.get(), callback, args))) return false;
  (void)types.contexts.give_back(entered, snapshot);
  return true;
}

// Nobody but the loop can come to see the handle.
bool is_private(PyObject* handle) noexcept { return Py_REFCNT(handle) == 1 && !weakly_referenced(handle); }

// The same as run() for a handle with a snapshot that nobody else sees.
bool run_in_spare_context(state& types, PyObject* handle) {
  const layout& slots = types.slots;
  const py::ref snapshot = py::ref::steal(std::exchange(own(types, handle).snapshot, nullptr));
  py::ref entered;
  if (call_in_spare(types, snapshot.get(), slot(handle, slots.callback), items_of(slot(handle, slots.args)),
                    entered)) {
    return true;
  }
  if (!entered) return false;
  slot(handle, slots.context) = entered.release();  // for those who are told of the handle now
  return !ends_the_loop() && report(types, handle);
}

// A callback that has no handle has raised: one is made for those who are told of it.
bool report_bare(state& types, PyObject* loop, const bare_callback& failed, const argument_list& args,
                 PyObject* context) {
  if (ends_the_loop()) return false;
  py::ref error = py::take_raised();
  const auto make_handle = failed.has(bare_callback::thread_safe) ? make_thread_safe : make;
  const py::ref handle = py::ref::steal(
      make_handle(types, loop, failed.callback, args.items, static_cast<Py_ssize_t>(args.count), context));
  if (!handle) return false;
  py::raise_again(std::move(error));
  return report(types, handle.get());
}

}  // namespace

bool run(state& types, PyObject* handle) {
  const layout& slots = types.slots;
  // Somebody else may cancel it from another thread meanwhile, and must wait for the callback to end.
  if (Py_REFCNT(handle) > 1 && Py_IS_TYPE(handle, types.thread_safe.type())) {
    return static_cast<bool>(py::ref::steal(by_asyncio(handle, "_run")));
  }
  if (own(types, handle).snapshot != nullptr && is_private(handle) && is_callable_as_made(types, handle)) {
    return run_in_spare_context(types, handle);
  }
  // A reference of our own to each: the callback may cancel its handle, which empties the slots.
  const py::ref context = py::ref::borrow(context_of(types, handle));
  if (!context) return false;
  const py::ref callback = py::ref::borrow(slot(handle, slots.callback));
  const py::ref args = py::ref::steal(PySequence_Tuple(slot(handle, slots.args)));  // itself, if it is one
  if (args && py::ref::steal(call_in(context.get(), callback.get(), items_of(args.get())))) return true;
  return !ends_the_loop() && report(types, handle);
}

bool run_bare(state& types, PyObject* loop, const bare_callback& bare) {
  const py::ref callback = py::ref::steal(bare.callback);
  const py::ref argument = py::ref::steal(bare.argument);
  const py::ref context = py::ref::steal(bare.context);
  const argument_list args =
      bare.has(bare_callback::with_tuple)
          ? items_of(bare.argument)
          : argument_list{.items = &bare.argument, .count = bare.argument != nullptr ? 1U : 0U};
  if (!bare.has(bare_callback::with_snapshot)) {
    return py::ref::steal(call_in(bare.context, bare.callback, args)) ||
           report_bare(types, loop, bare, args, bare.context);
  }
  py::ref entered;
  if (call_in_spare(types, bare.context, bare.callback, args, entered)) return true;
  return entered && report_bare(types, loop, bare, args, entered.get());
}

}  // namespace triga::handles
