// SPDX-License-Identifier: MIT
#include "bindings/types/task_desk.h"

#include <pybind11/pybind11.h>

#include <structmember.h>

#include <deque>
#include <memory>
#include <new>
#include <optional>

#include "bindings/module_state.h"
#include "bindings/processes/pool_binding.h"
#include "bindings/types/future.h"
#include "runtime/base/fork_generation.h"

namespace triga {
namespace {

namespace pb = pybind11;

// How many futures are completed before other threads may have the GIL.
constexpr int completions_a_turn = 512;
constexpr std::uint16_t call_tag = 1;

// The state of a desk. Guarded by the GIL.
struct desk {
  py::ref pool_object;
  pool_binding* pool = nullptr;
  std::shared_ptr<proc::arrivals> arrivals = std::make_shared<proc::arrivals>(1);
  py::ref future_type;
  bool native_futures = false;
  py::ref owner;  // every pending future's _staff
  py::ref index_name = py::ref::steal(PyUnicode_InternFromString("_index"));
  py::ref staff_name = py::ref::steal(PyUnicode_InternFromString("_staff"));
  py::ref task_name = py::ref::steal(PyUnicode_InternFromString("_task"));
  py::ref usage_name = py::ref::steal(PyUnicode_InternFromString("_usage"));
  // futures[i] is the one of number first + i; empty where it is done.
  std::deque<py::ref> futures;
  std::uint64_t first = 0;
  std::size_t pending = 0;
  bool open = false;
  bool names_tasks = false;      // futures keep their function while they are pending, as _task
  std::size_t most_waiting = 0;  // bytes
  std::uint32_t generation = fork_generation();
  std::deque<proc::arrivals::arrival> arrived;
  py::ref rest = py::ref::steal(PyList_New(0));  // what complete() leaves to its caller

  [[nodiscard]] py::ref* find(std::uint64_t index) noexcept {
    if (index < first || index - first >= futures.size()) return nullptr;
    py::ref& slot = futures[index - first];
    return slot ? &slot : nullptr;
  }
  py::ref pop(std::uint64_t index) noexcept {
    py::ref* const slot = find(index);
    if (slot == nullptr) return {};
    py::ref future = std::move(*slot);
    --pending;
    for (; !futures.empty() && !futures.front(); ++first) futures.pop_front();
    return future;
  }
};

struct desk_object {
  PyObject_HEAD desk* state;
  PyObject* weak_references;
};

desk& state_of_desk(PyObject* object) noexcept { return *reinterpret_cast<desk_object*>(object)->state; }

// Runs C++ that may throw Python's exceptions or its own.
template <class Work>
PyObject* guarded(Work work) {
  try {
    return work();
  } catch (pb::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyObject* desk_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *pool = nullptr, *future_type = nullptr, *owner = nullptr;
  Py_ssize_t most_waiting = 0;
  int names_tasks = 0;
  if (!PyArg_ParseTuple(args, "OOOnp", &pool, &future_type, &owner, &most_waiting, &names_tasks))
    return nullptr;
  return guarded([&]() -> PyObject* {
    auto made = std::make_unique<desk>();
    made->pool = &pb::cast<pool_binding&>(pb::handle(pool));
    made->pool_object = py::ref::borrow(pool);
    made->future_type = py::ref::borrow(future_type);
    made->owner = py::ref::borrow(owner);
    made->most_waiting = static_cast<std::size_t>(most_waiting);
    made->names_tasks = names_tasks != 0;
    made->native_futures =
        PyType_IsSubtype(made->future_type.type(), triga::state_of(type).futures.future_core.type()) != 0;
    PyObject* const self = type->tp_alloc(type, 0);
    if (self != nullptr) reinterpret_cast<desk_object*>(self)->state = made.release();
    return self;
  });
}

int desk_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  const desk* const self = reinterpret_cast<desk_object*>(object)->state;
  if (self == nullptr) return 0;
  for (const py::ref* each : {&self->pool_object, &self->future_type, &self->owner, &self->rest}) {
    if (const int stop = each->visit(visit, arg)) return stop;
  }
  for (const py::ref& each : self->futures) {
    if (const int stop = each.visit(visit, arg)) return stop;
  }
  return 0;
}

// The pool stays: a method may be under way.
int desk_clear(PyObject* object) {
  desk& self = state_of_desk(object);
  self.owner.reset();
  if (self.rest) PyList_SetSlice(self.rest.get(), 0, PyList_GET_SIZE(self.rest.get()), nullptr);
  std::deque<py::ref> futures;
  futures.swap(self.futures);
  self.first += futures.size();
  self.pending = 0;
  return 0;
}

void desk_dealloc(PyObject* object) {
  PyTypeObject* const type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  auto* const self = reinterpret_cast<desk_object*>(object);
  if (self->weak_references != nullptr) PyObject_ClearWeakRefs(object);
  delete self->state;
  type->tp_free(object);
  Py_DECREF(type);
}

// A future that is nobody's yet. Runs Python, where futures are the standard library's.
py::ref make_future(const desk& self, PyObject* function) {
  py::ref future = py::ref::steal(PyObject_CallNoArgs(self.future_type.get()));
  PyObject* const owner = self.owner ? self.owner.get() : Py_None;  // the desk may have been closed meanwhile
  if (!future || PyObject_SetAttr(future.get(), self.staff_name.get(), owner) != 0)
    throw pb::error_already_set();
  if (self.names_tasks && PyObject_SetAttr(future.get(), self.task_name.get(), function) != 0)
    throw pb::error_already_set();
  return future;
}

// Makes it one of the pending, and returns its number. Lets nobody else have the GIL.
std::uint64_t enlist(desk& self, const py::ref& future) {
  const std::uint64_t index = self.first + self.futures.size();
  const py::ref number = py::ref::steal(PyLong_FromUnsignedLongLong(index));
  if (!number || PyObject_SetAttr(future.get(), self.index_name.get(), number.get()) != 0)
    throw pb::error_already_set();
  self.futures.push_back(future);
  ++self.pending;
  return index;
}

// The error of a task that ran too long is to name it.
void name_task(desk& self, std::uint64_t index, PyObject* function) {
  self.names_tasks = true;  // from now on, so that complete_one() lets go of the functions
  const py::ref* const slot = self.find(index);
  if (slot != nullptr && PyObject_SetAttr(slot->get(), self.task_name.get(), function) != 0)
    throw pb::error_already_set();
}

bool may_submit(const desk& self) {
  return self.open && self.generation == fork_generation() &&
         self.pool->core().backlog_bytes() <= self.most_waiting;
}

PyObject* desk_submit(PyObject* object, PyObject* const* args, Py_ssize_t count) {
  desk& self = state_of_desk(object);
  if (count != 3) {
    PyErr_Format(PyExc_TypeError, "submit() takes function, arguments and keywords (%zd given)", count);
    return nullptr;
  }
  if (!may_submit(self)) Py_RETURN_NONE;
  return guarded([&]() -> PyObject* {
    py::ref future = make_future(self, args[0]);
    std::optional<call_encoder::encoded> ready;
    try {
      ready.emplace(self.pool->calls().encode(args[0], args[1], args[2], true));
    } catch (pb::error_already_set& error) {
      if (!error.matches(PyExc_Exception)) throw;
      Py_RETURN_NONE;  // the long way says what is wrong
    }
    if (!may_submit(self)) Py_RETURN_NONE;  // pickling may have taken any time
    // No Python from here on: the call may lie in the encoder's own buffer.
    self.pool->hand_over(*ready, self.arrivals, enlist(self, future), {.tag = call_tag});
    return future.release();
  });
}

PyObject* desk_register(PyObject* object, PyObject* function) {
  return guarded([&]() -> PyObject* {
    py::ref future = make_future(state_of_desk(object), function);
    enlist(state_of_desk(object), future);
    return future.release();
  });
}

// send(index, call, retries, seconds, measured): pickles the call of a registered future and hands it over.
PyObject* desk_send(PyObject* object, PyObject* args) {
  unsigned long long index = 0;
  PyObject* call = nullptr;
  int retries = 0, measured = 0;
  double seconds = 0;
  if (!PyArg_ParseTuple(args, "KO!idp", &index, &PyTuple_Type, &call, &retries, &seconds, &measured))
    return nullptr;
  desk& self = state_of_desk(object);
  return guarded([&]() -> PyObject* {
    proc::task_terms terms{.tag = call_tag, .retries = static_cast<std::uint16_t>(retries)};
    if (measured != 0) terms.tag |= call_flag::measured;
    if (seconds > 0) name_task(self, index, PyTuple_GET_ITEM(call, 0));
    terms.time_limit = nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
    self.pool->submit(self.arrivals, index, terms, pb::reinterpret_borrow<pb::tuple>(call));
    Py_RETURN_NONE;
  });
}

PyObject* desk_pop(PyObject* object, PyObject* number) {
  const unsigned long long index = PyLong_AsUnsignedLongLong(number);
  if (PyErr_Occurred() != nullptr) return nullptr;
  py::ref future = state_of_desk(object).pop(index);
  return future ? future.release() : Py_NewRef(Py_None);
}

PyObject* desk_pop_first(PyObject* object, PyObject*) {
  desk& self = state_of_desk(object);
  py::ref future = self.pop(self.first);
  return future ? future.release() : Py_NewRef(Py_None);
}

bool complete_one(desk& self, PyObject* future, const told& what, PyObject* usage) {
  if (usage != Py_None && PyObject_SetAttr(future, self.usage_name.get(), usage) != 0) return false;
  if (PyObject_SetAttr(future, self.staff_name.get(), Py_None) != 0) return false;
  if (self.names_tasks && PyObject_SetAttr(future, self.task_name.get(), Py_None) != 0) return false;
  const bool well = what.word[0] == 'v';
  if (self.native_futures) {
    return future_complete(as_future(future), well ? what.value.ptr() : nullptr,
                           well ? nullptr : what.value.ptr());
  }
  const py::ref done = py::ref::steal(
      PyObject_CallMethod(future, well ? "set_result" : "set_exception", "O", what.value.ptr()));
  return static_cast<bool>(done);
}

// Completes the future of one answer, or adds (index, word, value) to what the caller has to see to.
bool attend_to(desk& self, proc::arrivals::arrival& next) {
  told what = tell_all(next.end, self.pool->values());
  const bool answered = what.word[0] == 'v' || what.word[0] == 'e';
  if (!answered) {
    const py::ref entry = py::ref::steal(
        Py_BuildValue("KsO", static_cast<unsigned long long>(next.index), what.word, what.value.ptr()));
    return entry && PyList_Append(self.rest.get(), entry.get()) == 0;
  }
  const py::ref future = self.pop(next.index);
  if (!future) return true;
  const pb::object usage = usage_of(next.end.answer);
  return complete_one(self, future.get(), what, usage.ptr());
}

PyObject* report(desk& self, PyObject* more) {
  py::ref next = py::ref::steal(PyList_New(0));
  if (!next) return nullptr;
  std::swap(next, self.rest);
  return Py_BuildValue("OO", more, next.get());
}

// Completes futures with what has come. Returns (whether there is more, [(index, word, value), ...]): those
// that are no answers, whose futures are left to the caller.
PyObject* desk_complete(PyObject* object, PyObject*) {
  desk& self = state_of_desk(object);
  return guarded([&]() -> PyObject* {
    for (int turn = 0; turn < completions_a_turn; ++turn) {
      if (self.arrived.empty()) self.arrived = self.arrivals->take_all();
      if (self.arrived.empty()) return report(self, Py_False);
      proc::arrivals::arrival next = std::move(self.arrived.front());
      self.arrived.pop_front();
      if (!attend_to(self, next)) return nullptr;
    }
    return report(self, Py_True);
  });
}

unsigned long long index_of(PyObject* number) { return PyLong_AsUnsignedLongLong(number); }

PyObject* desk_cancel(PyObject* object, PyObject* number) {
  const unsigned long long index = index_of(number);
  if (PyErr_Occurred() != nullptr) return nullptr;
  desk& self = state_of_desk(object);
  return PyBool_FromLong(self.pool->core().cancel(*self.arrivals, index));
}

PyObject* desk_cancel_running(PyObject* object, PyObject* number) {
  const unsigned long long index = index_of(number);
  if (PyErr_Occurred() != nullptr) return nullptr;
  desk& self = state_of_desk(object);
  return PyBool_FromLong(self.pool->core().cancel_running(*self.arrivals, index));
}

PyObject* desk_is_running(PyObject* object, PyObject* number) {
  const unsigned long long index = index_of(number);
  if (PyErr_Occurred() != nullptr) return nullptr;
  desk& self = state_of_desk(object);
  return PyBool_FromLong(self.pool->core().is_running(*self.arrivals, index));
}

PyObject* desk_set_open(PyObject* object, PyObject* open) {
  const int value = PyObject_IsTrue(open);
  if (value < 0) return nullptr;
  state_of_desk(object).open = value != 0;
  Py_RETURN_NONE;
}

PyObject* desk_close(PyObject* object, PyObject*) {
  state_of_desk(object).open = false;
  state_of_desk(object).owner.reset();
  Py_RETURN_NONE;
}

Py_ssize_t desk_length(PyObject* object) { return static_cast<Py_ssize_t>(state_of_desk(object).pending); }

PyMethodDef desk_methods[] = {
    {"submit", reinterpret_cast<PyCFunction>(desk_submit), METH_FASTCALL,
     "submit(function, arguments, keywords): the call's future; None if it has to go the long way."},
    {"register", desk_register, METH_O, "register(function): a new pending future, for send()."},
    {"send", desk_send, METH_VARARGS, "send(index, call, retries, seconds, measured): submits its call."},
    {"pop", desk_pop, METH_O, "Removes the pending future of that number; None if there is none."},
    {"pop_first", desk_pop_first, METH_NOARGS, "Removes the first pending future; None if there is none."},
    {"complete", desk_complete, METH_NOARGS,
     "Completes futures with what has come: (whether there is more, what the caller has to see to)."},
    {"cancel", desk_cancel, METH_O, "Takes a task back that no worker has taken."},
    {"cancel_running", desk_cancel_running, METH_O, "Kills the worker that runs the task."},
    {"is_running", desk_is_running, METH_O, "Whether a worker has taken the task."},
    {"set_open", desk_set_open, METH_O, "Whether submit() may go the short way."},
    {"close", desk_close, METH_NOARGS, "No future will be made any more; lets go of the owner."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef desk_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(desk_object, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot desk_slots[] = {
    {Py_tp_doc, const_cast<char*>("The pending futures of a process pool.")},
    {Py_tp_new, reinterpret_cast<void*>(desk_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(desk_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(desk_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(desk_clear)},
    {Py_tp_methods, desk_methods},
    {Py_tp_members, desk_members},
    {Py_mp_length, reinterpret_cast<void*>(desk_length)},
    {0, nullptr},
};

PyType_Spec desk_spec = {
    .name = "triga._core.TaskDesk",
    .basicsize = sizeof(desk_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = desk_slots,
};

}  // namespace

PyObject* make_task_desk_type(PyObject* module) {
  return PyType_FromModuleAndSpec(module, &desk_spec, nullptr);
}

}  // namespace triga
