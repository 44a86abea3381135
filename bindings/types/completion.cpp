// SPDX-License-Identifier: MIT
// _core.CompletionWatch: what triga's wait() and as_completed() sleep on.
#include "bindings/types/completion.h"

#include <Python.h>

#include <climits>
#include <new>

#include "bindings/module_state.h"
#include "bindings/py/throw_raised.h"
#include "bindings/py/waiting.h"
#include "bindings/types/future.h"

namespace triga {
namespace {

using exec::progress;

completion_watch_object* as_watch(PyObject* self) noexcept {
  return reinterpret_cast<completion_watch_object*>(self);
}

void append_finished(completion_watch_object* watch, completion_link* link) noexcept {
  link->next_finished = nullptr;
  (watch->last_finished != nullptr ? watch->last_finished->next_finished : watch->first_finished) = link;
  watch->last_finished = link;
}

// Takes the link out of its future's list of waiters, and lets go of the future.
void forget_future(completion_link* link) {
  future_object* const future = std::exchange(link->future, nullptr);
  if (future == nullptr) return;
  for (completion_link** each = &future->links; *each != nullptr; each = &(*each)->next_waiter) {
    if (*each != link) continue;
    *each = link->next_waiter;
    break;
  }
  Py_DECREF(future);
}

int watch_clear(PyObject* object) {
  completion_watch_object* const self = as_watch(object);
  for (Py_ssize_t i = 0; i < self->count; ++i) forget_future(&self->links[i]);
  self->first_finished = self->last_finished = nullptr;
  return 0;
}

int watch_traverse(PyObject* object, visitproc visit, void* arg) {
  completion_watch_object* const self = as_watch(object);
  Py_VISIT(Py_TYPE(object));
  for (Py_ssize_t i = 0; i < self->count; ++i) {
    Py_VISIT(reinterpret_cast<PyObject*>(self->links[i].future));
  }
  return 0;
}

void watch_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  watch_clear(self);
  PyMem_Free(as_watch(self)->links);
  type->tp_free(self);
  Py_DECREF(type);
}

bool counts_as_done(const future_object* future) noexcept {
  return future->state.now() >= progress::cancelled_and_notified;
}

// CompletionWatch(futures, timeout=None): `futures` is a collection of native futures, each at most once.
// TypeError if one of them is not native. `timeout` is for the iteration over them.
PyObject* watch_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* given = nullptr;
  PyObject* timeout = Py_None;
  if (!PyArg_ParseTuple(args, "O|O:CompletionWatch", &given, &timeout)) return nullptr;
  const auto deadline = deadline_of(timeout);
  if (!deadline) return nullptr;
  PyTypeObject* const future_core = state_of(type).futures.future_core.type();
  PyObject* const futures = PySequence_List(given);
  if (futures == nullptr) return nullptr;
  const Py_ssize_t count = PyList_GET_SIZE(futures);
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (PyObject_TypeCheck(PyList_GET_ITEM(futures, i), future_core)) continue;
    Py_DECREF(futures);
    PyErr_SetString(PyExc_TypeError, "a CompletionWatch watches native futures");
    return nullptr;
  }
  auto* const links = static_cast<completion_link*>(
      PyMem_Calloc(static_cast<std::size_t>(count) + 1, sizeof(completion_link)));
  PyObject* const object = links != nullptr ? type->tp_alloc(type, 0) : PyErr_NoMemory();
  if (object == nullptr) {
    PyMem_Free(links);
    Py_DECREF(futures);
    return nullptr;
  }
  completion_watch_object* const self = as_watch(object);
  new (&self->generation) sync::futex_word{0};
  self->deadline = *deadline;
  self->wake_at = -1;
  self->links = links;
  self->count = count;
  for (Py_ssize_t i = 0; i < count; ++i) {
    completion_link* const link = new (&links[i]) completion_link;
    future_object* const future = as_future(Py_NewRef(PyList_GET_ITEM(futures, i)));
    link->watch = self;
    link->future = future;
    if (counts_as_done(future)) {
      self->saw_exception = self->saw_exception || future->exception != nullptr;
      append_finished(self, link);
    } else {
      link->next_waiter = future->links;
      future->links = link;
      ++self->pending;
    }
  }
  Py_DECREF(futures);
  return object;
}

// The future that finished first of those not taken yet. The watch lets go of it.
PyObject* take(completion_watch_object* self) noexcept {
  completion_link* const link = self->first_finished;
  self->first_finished = link->next_finished;
  if (self->first_finished == nullptr) self->last_finished = nullptr;
  return reinterpret_cast<PyObject*>(std::exchange(link->future, nullptr));
}

bool satisfied(const completion_watch_object* self) noexcept {
  return self->pending <= self->wake_at || (self->wake_on_exception && self->saw_exception);
}

bool sleep_until(completion_watch_object* self, time_point deadline) {
  // The caller owns a reference to the watch, and only its word is touched.
  sync::futex_word& word = self->generation;
  std::uint32_t generation = 0;
  const auto done = [&] {
    generation = word.load(std::memory_order_relaxed);  // relaxed: under the GIL
    return satisfied(self);
  };
  // relaxed: what changed is seen with the GIL.
  const auto look = [&] { return word.load(std::memory_order_relaxed) != generation; };
  const auto sleep = [&](time_point until) { return sync::futex_wait(word, generation, until); };
  return py::wait_without_gil(sync::waiting_for::future, deadline, done, look, sleep) != py::waited::failed;
}

// wait(pending, on_exception, timeout) -> bool: sleeps until no more than `pending` futures are not done, or
// one raised if `on_exception`, or `timeout` seconds (None: no limit) have passed; False in the last case.
PyObject* watch_wait(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  if (count != 3) return PyErr_Format(PyExc_TypeError, "wait expected 3 arguments, got %zd", count);
  completion_watch_object* const self = as_watch(object);
  const Py_ssize_t pending = PyLong_AsSsize_t(args[0]);
  if (pending == -1 && PyErr_Occurred()) return nullptr;
  const auto deadline = deadline_of(args[2]);
  if (!deadline) return nullptr;
  self->wake_at = pending;
  self->wake_on_exception = args[1] == Py_True;
  const bool well = sleep_until(self, *deadline);
  const bool met = satisfied(self);
  self->wake_at = -1;
  self->wake_on_exception = false;
  return well ? PyBool_FromLong(met) : nullptr;
}

// The futures in the order in which they finish, each given out once and not kept.
PyObject* watch_next(PyObject* object) {
  completion_watch_object* const self = as_watch(object);
  while (self->first_finished == nullptr) {
    if (self->pending == 0) return nullptr;
    self->wake_at = self->pending - 1;
    const bool well = sleep_until(self, self->deadline);
    self->wake_at = -1;
    if (!well) return nullptr;
    if (self->first_finished == nullptr) {
      return PyErr_Format(PyExc_TimeoutError, "%zd (of %zd) futures unfinished", self->pending, self->count);
    }
  }
  return take(self);
}

// split() -> (set of the futures that are done, set of the others)
PyObject* watch_split(PyObject* object, PyObject*) {
  completion_watch_object* const self = as_watch(object);
  PyObject* const done = PySet_New(nullptr);
  PyObject* const others = PySet_New(nullptr);
  bool well = done != nullptr && others != nullptr;
  for (Py_ssize_t i = 0; well && i < self->count; ++i) {
    future_object* const future = self->links[i].future;
    if (future == nullptr) continue;
    well = PySet_Add(counts_as_done(future) ? done : others, reinterpret_cast<PyObject*>(future)) == 0;
  }
  PyObject* const pair = well ? PyTuple_Pack(2, done, others) : nullptr;
  Py_XDECREF(done);
  Py_XDECREF(others);
  return pair;
}

PyObject* get_pending(PyObject* self, void*) { return PyLong_FromSsize_t(as_watch(self)->pending); }

PyObject* get_saw_exception(PyObject* self, void*) { return PyBool_FromLong(as_watch(self)->saw_exception); }

PyMethodDef completion_methods[] = {
    {"split", watch_split, METH_NOARGS, nullptr},
    {"wait", reinterpret_cast<PyCFunction>(watch_wait), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef completion_getset[] = {
    {"pending", get_pending, nullptr, nullptr, nullptr},
    {"saw_exception", get_saw_exception, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot completion_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(watch_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(watch_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(watch_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(watch_clear)},
    {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
    {Py_tp_iternext, reinterpret_cast<void*>(watch_next)},
    {Py_tp_methods, completion_methods},
    {Py_tp_getset, completion_getset},
    {0, nullptr},
};

PyType_Spec completion_spec = {
    .name = "triga._core.CompletionWatch",
    .basicsize = sizeof(completion_watch_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = completion_slots,
};

}  // namespace

void completion_notify(future_object* future, bool raised) {
  completion_link* link = std::exchange(future->links, nullptr);
  while (link != nullptr) {
    completion_link* const next = std::exchange(link->next_waiter, nullptr);
    completion_watch_object* const watch = link->watch;
    --watch->pending;
    watch->saw_exception = watch->saw_exception || raised;
    append_finished(watch, link);
    if (satisfied(watch)) {
      watch->generation.fetch_add(
          1, std::memory_order_relaxed);  // relaxed: the kernel compares it; data is the GIL's
      sync::futex_wake(watch->generation, INT_MAX);
    }
    link = next;
  }
}

void add_completion_type(PyObject* module) {
  futures_state& state = state_of(module).futures;
  state.watch = py::ref::steal(PyType_FromModuleAndSpec(module, &completion_spec, nullptr));
  if (!state.watch || PyModule_AddObjectRef(module, "CompletionWatch", state.watch.get()) != 0) {
    py::throw_raised();
  }
}

}  // namespace triga
