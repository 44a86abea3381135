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

// Of a handle that is callable as made, and that nobody else can come to see.
argument_list arguments_kept(const state& types, PyObject* handle) noexcept {
  PyObject* const tuple = slot(handle, types.slots.args);
  const own_fields& mine = own(types, handle);
  return tuple != nullptr ? items_of(tuple)
                          : argument_list{.items = mine.arguments.data(), .count = mine.count};
}

// In a context that stays ours. Null with the callback's exception set.
inline PyObject* call_in(PyObject* context, PyObject* callback, const argument_list& args) {
  if (PyContext_Enter(context) != 0) return nullptr;
  PyObject* result = PyObject_Vectorcall(callback, args.items, args.count, nullptr);
  // Fails only if the callback left another context entered, which then is the error to report.
  if (PyContext_Exit(context) != 0) Py_CLEAR(result);
  return result;
}

// Calls it in a context with the snapshot's variables. False with the callback's exception set; `entered` is
// then the context that it was called in, or null if there was no memory for one.
inline bool call_in_spare(state& types, PyObject* snapshot, PyObject* callback, const argument_list& args,
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
  if (call_in_spare(types, snapshot.get(), slot(handle, slots.callback), arguments_kept(types, handle),
                    entered)) {
    return true;
  }
  if (!entered) return false;
  slot(handle, slots.context) = entered.release();  // for those who are told of the handle now
  return !ends_the_loop() && report(types, handle);
}

// A callback that has no handle has raised: one is made for those who are told of it.
[[gnu::cold]] bool report_bare(state& types, PyObject* loop, const bare_callback& failed,
                               const argument_list& args, PyObject* context) {
  if (ends_the_loop()) return false;
  py::ref error = py::take_raised();
  const auto make_handle = failed.has(bare_callback::thread_safe) ? make_thread_safe : make;
  const py::ref handle = py::ref::steal(
      make_handle(types, loop, failed.callback, args.items, static_cast<Py_ssize_t>(args.count), context));
  if (!handle) return false;
  py::raise_again(std::move(error));
  return report(types, handle.get());
}

// Calls what has no handle. The references are the caller's.
inline bool call_bare(state& types, PyObject* loop, const bare_callback& bare, const argument_list& args) {
  if (!bare.has(bare_callback::with_snapshot)) {
    return py::ref::steal(call_in(bare.context, bare.callback, args)) ||
           report_bare(types, loop, bare, args, bare.context);
  }
  py::ref entered;
  if (call_in_spare(types, bare.context, bare.callback, args, entered)) return true;
  return entered && report_bare(types, loop, bare, args, entered.get());
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
  PyObject* const given = arguments_of(types, handle);
  const py::ref args =
      given != nullptr ? py::ref::steal(PySequence_Tuple(given)) : py::ref();  // itself, mostly
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
  return call_bare(types, loop, bare, args);
}

bool run_queues_alone(state& types, PyObject* loop, PyObject* handle) {
  own_fields& mine = own(types, handle);
  const layout& slots = types.slots;
  const std::uintptr_t form = (mine.snapshot != nullptr ? bare_callback::with_snapshot : 0) |
                              (Py_IS_TYPE(handle, types.handle.type()) ? 0 : bare_callback::thread_safe);
  PyObject*& variables = mine.snapshot != nullptr ? mine.snapshot : slot(handle, slots.context);
  const py::ref callback = py::ref::steal(std::exchange(slot(handle, slots.callback), nullptr));
  const py::ref tuple = py::ref::steal(std::exchange(slot(handle, slots.args), nullptr));
  const py::ref context = py::ref::steal(std::exchange(variables, nullptr));
  const auto kept = mine.arguments;
  const std::size_t count = std::exchange(mine.count, 0);
  release_private(types, handle);
  const bool good =
      call_bare(types, loop, bare_callback(callback.get(), nullptr, context.get(), form),
                tuple ? items_of(tuple.get()) : argument_list{.items = kept.data(), .count = count});
  for (std::size_t at = 0; at < count; ++at) Py_DECREF(kept[at]);
  return good;
}

}  // namespace triga::handles
