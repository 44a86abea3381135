// SPDX-License-Identifier: MIT
// LoopBase: run_forever() and the loop's states.
#include <unistd.h>

#include <cerrno>

#include "bindings/py/raised.h"
#include "bindings/types/loop.h"
#include "bindings/types/loop_clock.h"

namespace triga::loops {
namespace {

// One turn, natively. False with an exception set.
bool turn(PyObject* self) {
  if (fields(self).fork_generation != fork_generation()) adopt_process(self);
  loop::event_loop& loop = core_of(self).loop();
  if (loop.run_once(fields(self).stopping == 0)) return true;
  if (PyErr_Occurred() == nullptr) {
    errno = loop.last_error();
    PyErr_SetFromErrno(PyExc_OSError);
  }
  return false;
}

PyObject* run_once(PyObject* self, PyObject*) {
  if (!turn(self)) return nullptr;
  Py_RETURN_NONE;
}

// Did a subclass or an assignment to the loop replace _run_once()? Then every turn goes through it, as in
// asyncio. Null with an exception set; None if it is ours.
py::ref replaced_run_once(PyObject* self) {
  py::ref method = py::ref::steal(PyObject_GetAttrString(self, "_run_once"));
  if (!method) return method;
  if (PyCFunction_Check(method.get()) && PyCFunction_GET_FUNCTION(method.get()) == &run_once) {
    return py::ref::borrow(Py_None);
  }
  return method;
}

// A turn without a line of Python would never look at the signals that arrived in it, nor would the garbage
// collector run. Most turns have some, and looking costs as much as entering a context: a busy loop does so
// now and then, and one that will wait always, as only its wakeup descriptor, if it has it, ends a wait.
bool look_at_signals(PyObject* self, unsigned turns) {
  constexpr unsigned most_turns_without_a_look = 16;
  if (turns % most_turns_without_a_look != 0 && core_of(self).loop().ready_count() > 0) return true;
  return PyErr_CheckSignals() == 0;
}

bool run_until_stopped(PyObject* self) {
  const py::ref replaced = replaced_run_once(self);
  if (!replaced) return false;
  unsigned turns = 0;
  do {
    const bool good = replaced.get() == Py_None
                          ? turn(self)
                          : static_cast<bool>(py::ref::steal(PyObject_CallNoArgs(replaced.get())));
    if (!good || !look_at_signals(self, ++turns)) return false;
  } while (fields(self).stopping == 0);
  return true;
}

PyObject* run_forever(PyObject* self, PyObject*) {
  look_at_clock(self);
  if (!py::ref::steal(PyObject_CallMethod(self, "_run_forever_setup", nullptr))) return nullptr;
  const bool good = run_until_stopped(self);
  core_of(self).loop().end_run();
  core_of(self).settle_handed_out();
  core_of(self).handles().contexts.forget();
  py::ref error = good ? py::ref() : py::take_raised();
  const bool cleaned =
      static_cast<bool>(py::ref::steal(PyObject_CallMethod(self, "_run_forever_cleanup", nullptr)));
  if (error) {
    if (!cleaned) PyErr_WriteUnraisable(self);
    py::raise_again(std::move(error));
    return nullptr;
  }
  if (!cleaned) return nullptr;
  Py_RETURN_NONE;
}

PyObject* stop(PyObject* self, PyObject*) {
  fields(self).stopping = 1;
  Py_RETURN_NONE;
}

PyObject* is_running(PyObject* self, PyObject*) {
  const PyObject* thread = fields(self).thread_id;
  return PyBool_FromLong(thread != nullptr && thread != Py_None);
}

PyObject* is_closed(PyObject* self, PyObject*) { return PyBool_FromLong(fields(self).closed); }

PyObject* get_debug(PyObject* self, PyObject*) { return PyBool_FromLong(fields(self).debug); }

PyObject* check_closed(PyObject* self, PyObject*) {
  if (!check_open(self)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* clear_ready(PyObject* self, PyObject*) {
  core_of(self).loop().clear_ready();
  Py_RETURN_NONE;
}

PyObject* clear_timers(PyObject* self, PyObject*) {
  core_of(self).loop().clear_timers();
  Py_RETURN_NONE;
}

PyObject* run_turn_end(PyObject* self, PyObject*) {
  core_of(self).loop().run_turn_end();
  if (PyErr_Occurred() != nullptr) return nullptr;
  Py_RETURN_NONE;
}

PyObject* close_native(PyObject* self, PyObject*) {
  core_of(self).close();
  Py_CLEAR(fields(self).loop_keyword);  // which refers to the loop
  Py_RETURN_NONE;
}

PyObject* pending(PyObject* self, PyObject*) {
  const loop::event_loop& loop = core_of(self).loop();
  return Py_BuildValue("(nnn)", static_cast<Py_ssize_t>(loop.ready_count()),
                       static_cast<Py_ssize_t>(loop.timer_count()),
                       static_cast<Py_ssize_t>(loop.cancelled_timer_count()));
}

// Does the loop run in the process that forked this one?
PyObject* runs_in_parent(PyObject* self, PyObject*) {
  if (check_process(self)) Py_RETURN_FALSE;
  PyErr_Clear();
  Py_RETURN_TRUE;
}

}  // namespace

bool check_process(PyObject* self) {
  if (fields(self).fork_generation == fork_generation()) return true;
  const PyObject* thread = fields(self).thread_id;
  if (thread == nullptr || thread == Py_None) {
    adopt_process(self);
    return true;
  }
  PyErr_Format(PyExc_RuntimeError,
               "the event loop runs in process %d, and this is process %d, which was forked from it: nothing "
               "that is scheduled on the copy here would ever be done; make a loop of the child's own, as "
               "asyncio.run() does",
               static_cast<int>(fields(self).process), static_cast<int>(getpid()));
  return false;
}

bool check_process_of_transport(state& types, PyObject* transport) {
  if (fork_generation() == 0) return true;
  const py::ref loop = py::ref::steal(PyObject_GetAttrString(transport, "_loop"));
  return loop && (!PyObject_TypeCheck(loop.get(), types.base.type()) || check_process(loop.get()));
}

void adopt_process(PyObject* self) noexcept {
  fields(self).fork_generation = fork_generation();
  fields(self).process = getpid();
}

PyMethodDef run_methods[] = {
    {"run_forever", run_forever, METH_NOARGS, "Runs until stop() is called."},
    {"_run_once", run_once, METH_NOARGS, nullptr},
    {"stop", stop, METH_NOARGS, "Ends run_forever() at the end of the turn."},
    {"is_running", is_running, METH_NOARGS, "True while run_forever() runs."},
    {"is_closed", is_closed, METH_NOARGS, "True once close() was called."},
    {"get_debug", get_debug, METH_NOARGS, "True in debug mode."},
    {"_runs_in_parent", runs_in_parent, METH_NOARGS, nullptr},
    {"_check_closed", check_closed, METH_NOARGS, nullptr},
    {"_clear_ready", clear_ready, METH_NOARGS, nullptr},
    {"_clear_timers", clear_timers, METH_NOARGS, nullptr},
    {"_run_turn_end", run_turn_end, METH_NOARGS, nullptr},
    {"_close_native", close_native, METH_NOARGS, nullptr},
    {"_pending", pending, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga::loops
