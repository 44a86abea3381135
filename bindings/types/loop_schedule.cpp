// SPDX-License-Identifier: MIT
// LoopBase: what puts callbacks, timers, futures and tasks on the loop.
#include <cstdint>
#include <vector>

#include "bindings/py/method.h"
#include "bindings/py/raised.h"
#include "bindings/types/future_link.h"
#include "bindings/types/loop.h"
#include "bindings/types/loop_clock.h"

namespace triga::loops {
namespace {

// The arguments of call_soon() and its kin: some positional ones, then the callback's own, and perhaps
// context=.
struct callback_arguments {
  PyObject* callback;
  PyObject* const* args;
  Py_ssize_t count;
  PyObject* context;
};

// Takes the vectorcall arguments apart; `before` positional ones precede the callback. False with TypeError
// set.
bool parse(PyObject* self, const char* method, Py_ssize_t before, PyObject* const* args, Py_ssize_t count,
           PyObject* names, callback_arguments& into) {
  if (count < before + 1) {
    PyErr_Format(PyExc_TypeError, "%s() missing 1 required positional argument: 'callback'", method);
    return false;
  }
  into = {
      .callback = args[before], .args = args + before + 1, .count = count - before - 1, .context = nullptr};
  if (names == nullptr) return true;
  for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(names); ++at) {
    PyObject* name = PyTuple_GET_ITEM(names, at);
    // A name in source code and in _asyncio is interned, so the same object.
    if (name != core_of(self).types().context_name.get() &&
        PyUnicode_CompareWithASCIIString(name, "context") != 0) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", method, name);
      return false;
    }
    into.context = args[count + at];
  }
  return true;
}

// Handles made in debug mode tell where.
bool note_origin(PyObject* self, PyObject* handle) {
  return fields(self).debug == 0 || handles::set_source_traceback(core_of(self).handles(), handle);
}

// ---- callbacks

template <class Make>
PyObject* queue_callback(PyObject* self, const callback_arguments& given, Make make) {
  core& loop = core_of(self);
  loop.settle_or_unwrap_handed_out();
  PyObject* handle = make(loop.handles(), self, given.callback, given.args, given.count, given.context);
  if (handle == nullptr) return nullptr;
  if (!note_origin(self, handle)) {
    Py_DECREF(handle);
    return nullptr;
  }
  loop.hand_out(handle, loop.queue(Py_NewRef(handle)));
  return handle;
}

// A task's step or a future's callback, of which _asyncio wants no handle. In debug mode it gets one, as the
// reports of slow callbacks tell of it.
bool is_bare(PyObject* self, Py_ssize_t count, PyObject* names) noexcept {
  return names != nullptr && names == core_of(self).types().asyncio_names.get() &&
         (count == 1 || count == 2) && fields(self).debug == 0 && fields(self).closed == 0;
}

PyObject* queue_bare(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  const handles::bare_callback callback(Py_NewRef(args[0]), count == 2 ? Py_NewRef(args[1]) : nullptr,
                                        Py_NewRef(args[count]));
  core_of(self).loop().call_soon(callback.packed());
  Py_RETURN_NONE;
}

bool ends_a_transport(PyObject* callback) {
  const py::ref name = py::ref::steal(PyObject_GetAttrString(callback, "__name__"));
  PyErr_Clear();
  return name && PyUnicode_Check(name.get()) &&
         PyUnicode_CompareWithASCIIString(name.get(), "_call_connection_lost") == 0;
}

// As check_open(), but a forked child may close a transport of its parent's: in a `finally` clause that is
// left by sys.exit(), a refusal would hide the exit. If the child leaves run_forever() too, it is told.
bool may_call_soon(PyObject* self, PyObject* callback) {
  if (check_open(self)) return true;
  if (fields(self).closed != 0) return false;
  py::ref refusal = py::take_raised();
  if (ends_a_transport(callback)) return true;
  py::raise_again(std::move(refusal));
  return false;
}

// Nothing is to be checked or noted before a callback is queued.
bool is_plain(PyObject* self) noexcept {
  const loop_object& loop = fields(self);
  return loop.closed == 0 && loop.debug == 0 && loop.fork_generation == fork_generation();
}

PyObject* call_soon(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (is_bare(self, count, names)) return queue_bare(self, args, count);
  callback_arguments given;
  if (names == nullptr && count > 0 && is_plain(self)) {
    given = {.callback = args[0], .args = args + 1, .count = count - 1, .context = nullptr};
    return queue_callback(self, given, handles::make);
  }
  if (!parse(self, "call_soon", 0, args, count, names, given) || !may_call_soon(self, given.callback) ||
      !check_in_debug_mode(self, given.callback, "call_soon", false)) {
    return nullptr;
  }
  return queue_callback(self, given, handles::make);
}

PyObject* call_soon_threadsafe(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  callback_arguments given;
  if (!parse(self, "call_soon_threadsafe", 0, args, count, names, given) || !check_open(self) ||
      !check_in_debug_mode(self, given.callback, "call_soon_threadsafe", true)) {
    return nullptr;
  }
  core& loop = core_of(self);
  PyObject* handle =
      queue_callback(self, given, loop.handles().thread_safe ? handles::make_thread_safe : handles::make);
  loop.loop().wake();
  return handle;
}

// ---- timers

PyObject* schedule(PyObject* self, PyObject* when, const callback_arguments& given) {
  const double seconds = PyFloat_AsDouble(when);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
  core& loop = core_of(self);
  PyObject* handle =
      handles::make_timer(loop.handles(), self, when, given.callback, given.args, given.count, given.context);
  if (handle == nullptr) return nullptr;
  if (!note_origin(self, handle)) {
    Py_DECREF(handle);
    return nullptr;
  }
  loop.add_timer(time_of(seconds), Py_NewRef(handle));
  loop.hand_out(handle);
  return handle;
}

PyObject* call_at(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  callback_arguments given;
  if (!parse(self, "call_at", 1, args, count, names, given)) return nullptr;
  if (args[0] == Py_None) return PyErr_Format(PyExc_TypeError, "when cannot be None");
  if (!check_open(self) || !check_in_debug_mode(self, given.callback, "call_at", false)) return nullptr;
  return schedule(self, args[0], given);
}

PyObject* call_later(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  callback_arguments given;
  if (!parse(self, "call_later", 1, args, count, names, given)) return nullptr;
  if (args[0] == Py_None) return PyErr_Format(PyExc_TypeError, "delay must not be None");
  const py::ref when = time_after(self, args[0]);
  if (!when) return nullptr;
  if (has_overrides(self)) {  // asyncio's call_later() goes through call_at()
    const py::ref method = py::ref::steal(PyObject_GetAttrString(self, "call_at"));
    if (!method) return nullptr;
    const Py_ssize_t all = count + (names != nullptr ? PyTuple_GET_SIZE(names) : 0);
    std::vector<PyObject*> changed(args, args + all);
    changed[0] = when.get();
    return PyObject_Vectorcall(method.get(), changed.data(), static_cast<std::size_t>(count), names);
  }
  if (!check_open(self) || !check_in_debug_mode(self, given.callback, "call_later", false)) return nullptr;
  return schedule(self, when.get(), given);
}

PyObject* timer_handle_cancelled(PyObject* self, PyObject* handle) {
  core& loop = core_of(self);
  if (Py_IS_TYPE(handle, loop.handles().timer.type())) loop.cancel_timer(handle);
  Py_RETURN_NONE;
}

// Queues a handle that exists already: a signal handler's, or one a subclass made.
PyObject* add_callback(PyObject* self, PyObject* handle) {
  core_of(self).queue(Py_NewRef(handle));
  Py_RETURN_NONE;
}

PyObject* add_callback_signalsafe(PyObject* self, PyObject* handle) {
  core_of(self).queue(Py_NewRef(handle));
  core_of(self).loop().wake();
  Py_RETURN_NONE;
}

PyObject* write_to_self(PyObject* self, PyObject*) {
  core_of(self).loop().wake();
  Py_RETURN_NONE;
}

// ---- futures and tasks

PyObject* keyword_of(PyObject* self) {
  loop_object& loop = fields(self);
  if (loop.loop_keyword == nullptr) loop.loop_keyword = Py_BuildValue("{sO}", "loop", self);
  return loop.loop_keyword;
}

// asyncio.futures.Future or asyncio.tasks.Task as they are now; null with an exception set.
py::ref class_of(const py::ref& module, const py::ref& name) {
  PyObject* const found = PyDict_GetItemWithError(PyModule_GetDict(module.get()), name.get());
  if (found != nullptr || PyErr_Occurred() != nullptr) return py::ref::borrow(found);
  return py::ref::steal(PyObject_GetAttr(module.get(), name.get()));  // its own way of saying so
}

PyObject* create_future(PyObject* self, PyObject*) {
  PyObject* keyword = keyword_of(self);
  const state& types = core_of(self).types();
  const py::ref made_by = class_of(types.futures, types.future_name);
  const py::ref nothing = py::ref::steal(PyTuple_New(0));
  if (keyword == nullptr || !made_by || !nothing) return nullptr;
  return PyObject_Call(made_by.get(), nothing.get(), keyword);
}

// asyncio's own method, for a task factory, debug mode, keywords, and a closed loop.
PyObject* stock_create_task(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const Py_ssize_t all = count + (names != nullptr ? PyTuple_GET_SIZE(names) : 0);
  std::vector<PyObject*> shifted{self};
  shifted.insert(shifted.end(), args, args + all);
  return PyObject_Vectorcall(core_of(self).types().stock_create_task.get(), shifted.data(),
                             static_cast<std::size_t>(count + 1), names);
}

// Is this a keyword of a task? -1: an exception.
int is_of_a_task(const state& types, PyObject* name) {
  PyObject* const known = types.task_keywords.get();
  for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(known); ++at) {
    if (PyTuple_GET_ITEM(known, at) == name) return 1;  // a name in source code is interned
  }
  return PySequence_Contains(known, name);
}

// Are these the keywords of a task? Any other is for asyncio to refuse. -1: an exception.
int are_of_a_task(const state& types, PyObject* names) {
  int good = 1;
  for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(names) && good > 0; ++at) {
    good = is_of_a_task(types, PyTuple_GET_ITEM(names, at));
  }
  return good;
}

// The keywords to make a task with: loop= and those that were given. Null with an exception set.
py::ref task_keywords(PyObject* self, PyObject* const* values, PyObject* names) {
  PyObject* const loop = keyword_of(self);
  if (loop == nullptr || names == nullptr) return py::ref::borrow(loop);
  py::ref all = py::ref::steal(PyDict_Copy(loop));
  for (Py_ssize_t at = 0; all && at < PyTuple_GET_SIZE(names); ++at) {
    if (PyDict_SetItem(all.get(), PyTuple_GET_ITEM(names, at), values[at]) < 0) all.reset();
  }
  return all;
}

PyObject* create_task(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const loop_object& loop = fields(self);
  const state& types = core_of(self).types();
  const bool plain =
      is_plain(self) && count == 1 && (loop.task_factory == nullptr || loop.task_factory == Py_None);
  const int known = !plain ? 0 : names == nullptr ? 1 : are_of_a_task(types, names);
  if (known < 0) return nullptr;
  if (known == 0) return stock_create_task(self, args, count, names);
  const py::ref keywords = task_keywords(self, args + 1, names);
  const py::ref made_by = class_of(types.tasks, types.task_name);
  const py::ref coroutine = py::ref::steal(PyTuple_Pack(1, args[0]));
  if (!keywords || !made_by || !coroutine) return nullptr;
  return PyObject_Call(made_by.get(), coroutine.get(), keywords.get());
}

PyObject* follow(PyObject* self, PyObject* source) { return follow_any_future(self, source); }

constexpr int fast = METH_FASTCALL | METH_KEYWORDS;

}  // namespace

bool check_open(PyObject* self) {
  if (fields(self).closed == 0) return check_process(self);
  PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
  return false;
}

bool check_in_debug_mode(PyObject* self, PyObject* callback, const char* method, bool any_thread) {
  if (fields(self).debug == 0) return true;
  if (!any_thread && !py::ref::steal(PyObject_CallMethod(self, "_check_thread", nullptr))) return false;
  return static_cast<bool>(
      py::ref::steal(PyObject_CallMethod(self, "_check_callback", "Os", callback, method)));
}

PyMethodDef schedule_methods[] = {
    {"call_soon", py::as_method(call_soon), fast,
     "call_soon(callback, *args, context=None): calls callback(*args) in the next turn of the loop; returns "
     "a Handle."},
    {"call_soon_threadsafe", py::as_method(call_soon_threadsafe), fast, "As call_soon(), from any thread."},
    {"call_at", py::as_method(call_at), fast,
     "call_at(when, callback, *args, context=None): calls callback(*args) once time() has reached `when` "
     "seconds; "
     "returns a TimerHandle."},
    {"call_later", py::as_method(call_later), fast,
     "call_later(delay, callback, *args, context=None): as call_at(), `delay` seconds from now."},
    {"create_future", create_future, METH_NOARGS, "A new asyncio.Future that belongs to this loop."},
    {"create_task", py::as_method(create_task), fast, "Starts a coroutine as a Task."},
    {"_follow", follow, METH_O, nullptr},
    {"_timer_handle_cancelled", timer_handle_cancelled, METH_O, nullptr},
    {"_add_callback", add_callback, METH_O, nullptr},
    {"_add_callback_signalsafe", add_callback_signalsafe, METH_O, nullptr},
    {"_write_to_self", write_to_self, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga::loops
