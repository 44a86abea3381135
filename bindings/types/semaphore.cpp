// SPDX-License-Identifier: MIT
// threading.Semaphore and BoundedSemaphore: a number and those who wait for it to rise above zero.
#include <array>
#include <limits>

#include "bindings/module_state.h"
#include "bindings/py/arguments.h"
#include "bindings/py/parking.h"
#include "bindings/py/timeout.h"
#include "bindings/types/class_family.h"
#include "bindings/types/lazy_condition.h"
#include "bindings/types/register_types.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

// A count as the program gave it. Everything but an int of reasonable size (say, float("inf")) is left to the
// standard algorithm, which asks no more of it than Python's arithmetic.
struct tally {
  Py_ssize_t number;
  PyObject* odd;  // set: this is the value, and `number` means nothing

  void assign(PyObject* value) {
    int overflow = 1;
    const long long wide = PyLong_CheckExact(value) ? PyLong_AsLongLongAndOverflow(value, &overflow) : 0;
    number = static_cast<Py_ssize_t>(wide);
    const bool fits = overflow == 0 && wide >= 0 && wide < std::numeric_limits<Py_ssize_t>::max() / 2;
    Py_XSETREF(odd, fits ? nullptr : Py_NewRef(value));
  }
  [[nodiscard]] PyObject* get() const { return odd != nullptr ? Py_NewRef(odd) : PyLong_FromSsize_t(number); }
};

// Guarded by the GIL, which no operation lets go of between its first look at the value and its last change.
struct semaphore_object {
  PyObject_HEAD queue_state* state;
  class_family* family;
  lazy_condition cond;
  tally value;
  tally initial;  // of a BoundedSemaphore
};

semaphore_object& as_semaphore(PyObject* self) { return *reinterpret_cast<semaphore_object*>(self); }

bool is_standard(const semaphore_object& semaphore) {
  return semaphore.cond.foreign || semaphore.value.odd != nullptr || semaphore.initial.odd != nullptr;
}

PyObject* semaphore_new(PyTypeObject* type, PyObject*, PyObject*) {
  queue_state& state = state_of(type).queues;
  PyObject* const family = family_of(type, state);
  if (family == nullptr) return nullptr;
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    Py_DECREF(family);
    return nullptr;
  }
  as_semaphore(self).state = &state;
  as_semaphore(self).family = reinterpret_cast<class_family*>(family);
  return self;
}

int semaphore_init(PyObject* self, PyObject* arguments, PyObject* keywords) {
  static const char* const names[] = {"value", nullptr};
  PyObject* given = nullptr;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:Semaphore", const_cast<char**>(names), &given))
    return -1;
  const py::ref value = given != nullptr ? py::ref::borrow(given) : py::ref::steal(PyLong_FromLong(1));
  const int negative = value ? py::is_negative(value.get()) : -1;
  if (negative > 0) PyErr_SetString(PyExc_ValueError, "semaphore initial value must be >= 0");
  if (negative != 0) return -1;
  semaphore_object& semaphore = as_semaphore(self);
  semaphore.cond.clear();
  semaphore.cond.foreign = false;
  semaphore.value.assign(value.get());
  semaphore.initial.assign(value.get());
  return 0;
}

int semaphore_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_semaphore(self).family);
  Py_VISIT(as_semaphore(self).value.odd);
  Py_VISIT(as_semaphore(self).initial.odd);
  return as_semaphore(self).cond.visit(visit, arg);
}

int semaphore_clear(PyObject* self) {
  as_semaphore(self).cond.clear();
  return 0;
}

void semaphore_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  semaphore_clear(self);
  Py_CLEAR(as_semaphore(self).value.odd);
  Py_CLEAR(as_semaphore(self).initial.odd);
  Py_CLEAR(as_semaphore(self).family);
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- acquire

// Waits until the value is above zero or the time is up: 1 or 0. -1 with an exception, -2 where the standard
// algorithm has to take over.
int await_value(semaphore_object& semaphore, PyObject* timeout) {
  time_point deadline = never;
  if (timeout != Py_None && !py::wait_deadline_in(timeout, deadline)) return -1;
  while (semaphore.value.number == 0) {
    if (deadline == py::already) return 0;
    py::parking place(semaphore.cond.waiters);
    const py::park_outcome outcome = place.wait(deadline);
    if (outcome == py::park_outcome::failed) return -1;
    if (is_standard(semaphore)) return -2;
    if (outcome == py::park_outcome::timed_out) return semaphore.value.number > 0 ? 1 : 0;
  }
  return 1;
}

// Lets whoever holds the condition's lock finish first, as the original does.
bool pass_lock(semaphore_object& semaphore) {
  if (!semaphore.cond.is_held(*semaphore.state)) return true;
  if (!semaphore.cond.acquire(*semaphore.state)) return false;
  semaphore.cond.release(*semaphore.state);
  return true;
}

PyObject* acquire(PyObject* self, PyObject* blocking, PyObject* timeout) {
  semaphore_object& semaphore = as_semaphore(self);
  PyObject* const arguments[] = {blocking, timeout};
  if (is_standard(semaphore)) return run_standard(*semaphore.family, self, "acquire", arguments, 2, nullptr);
  const int blocks = blocking == Py_True ? 1 : PyObject_IsTrue(blocking);
  if (blocks < 0) return nullptr;
  if (blocks == 0 && timeout != Py_None) {
    PyErr_SetString(PyExc_ValueError, "can't specify timeout for non-blocking acquire");
    return nullptr;
  }
  if (!pass_lock(semaphore)) return nullptr;
  trace::count(trace::counter::sync_operations);
  if (semaphore.value.number == 0) {
    const int outcome = blocks != 0 ? await_value(semaphore, timeout) : 0;
    if (outcome == -2) return run_standard(*semaphore.family, self, "acquire", arguments, 2, nullptr);
    if (outcome < 0) return nullptr;
    if (outcome == 0) Py_RETURN_FALSE;
  }
  --semaphore.value.number;
  Py_RETURN_TRUE;
}

PyObject* semaphore_acquire(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                            PyObject* keywords) {
  if (count == 0 && keywords == nullptr) return acquire(self, Py_True, Py_None);
  const auto& names = as_semaphore(self).state->names;
  const std::array order{names.blocking.get(), names.timeout.get()};
  std::array<PyObject*, 2> values{Py_True, Py_None};
  if (!py::sort_arguments("Semaphore.acquire", order, 0, arguments, count, keywords, values)) return nullptr;
  return acquire(self, values[0], values[1]);
}

// ---- release

PyObject* release(PyObject* self, PyObject* n, bool bounded) {
  semaphore_object& semaphore = as_semaphore(self);
  if (is_standard(semaphore)) return run_standard(*semaphore.family, self, "release", &n, 1, nullptr);
  const Py_ssize_t count = PyNumber_AsSsize_t(n, PyExc_OverflowError);
  if (count == -1 && PyErr_Occurred() != nullptr) return nullptr;
  if (count < 1) {
    PyErr_SetString(PyExc_ValueError, "n must be one or more");
    return nullptr;
  }
  const bool held = semaphore.cond.is_held(*semaphore.state);
  if (held && !semaphore.cond.acquire(*semaphore.state)) return nullptr;
  const bool too_often = bounded && semaphore.value.number + count > semaphore.initial.number;
  if (!too_often) {
    semaphore.value.number += count;
    semaphore.cond.waiters.notify(static_cast<std::size_t>(count));
    trace::count(trace::counter::sync_operations);
  }
  if (held) semaphore.cond.release(*semaphore.state);
  if (!too_often) Py_RETURN_NONE;
  PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
  return nullptr;
}

template <bool Bounded>
PyObject* semaphore_release(PyObject* self, PyObject* const* arguments, Py_ssize_t count,
                            PyObject* keywords) {
  const py::ref one = py::ref::steal(PyLong_FromLong(1));  // a cached object: no allocation
  const py::ref name = keywords != nullptr ? py::ref::steal(PyUnicode_InternFromString("n")) : py::ref();
  if (!one || (keywords != nullptr && !name)) return nullptr;
  std::array<PyObject*, 1> values{one.get()};
  const std::array order{name.get()};
  if ((count != 0 || keywords != nullptr) &&
      !py::sort_arguments("Semaphore.release", order, 0, arguments, count, keywords, values)) {
    return nullptr;
  }
  return release(self, values[0], Bounded);
}

PyObject* semaphore_exit(PyObject* self, PyObject* const*, Py_ssize_t) {
  PyObject* const released = PyObject_CallMethodNoArgs(self, as_semaphore(self).state->names.release.get());
  if (released == nullptr) return nullptr;
  Py_DECREF(released);
  Py_RETURN_NONE;
}

// ---- attributes

PyObject* get_cond(PyObject* self, void*) {
  semaphore_object& semaphore = as_semaphore(self);
  return Py_XNewRef(semaphore.cond.get(*semaphore.state, *semaphore.family, self));
}

int set_cond(PyObject* self, PyObject* value, void*) {
  as_semaphore(self).cond.replace(value);
  return 0;
}

tally& tally_of(PyObject* self, void* closure) {
  return closure == nullptr ? as_semaphore(self).value : as_semaphore(self).initial;
}

PyObject* get_tally(PyObject* self, void* closure) { return tally_of(self, closure).get(); }

int set_tally(PyObject* self, PyObject* value, void* closure) {
  if (value == nullptr) {
    PyErr_SetString(PyExc_AttributeError, "the value of a semaphore cannot be deleted");
    return -1;
  }
  tally_of(self, closure).assign(value);
  return 0;
}

PyMethodDef semaphore_methods[] = {
    {"acquire", reinterpret_cast<PyCFunction>(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, /, blocking=True, timeout=None)\n--\n\nDecrement the internal counter by one, waiting "
     "while it\n"
     "is zero: not at all if blocking is false, at most timeout seconds if that is given. Return True on "
     "success."},
    {"__enter__", reinterpret_cast<PyCFunction>(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS,
     "As acquire()."},
    {"release", reinterpret_cast<PyCFunction>(semaphore_release<false>), METH_FASTCALL | METH_KEYWORDS,
     "release($self, /, n=1)\n--\n\nIncrement the internal counter by n, and wake as many that wait."},
    {"__exit__", reinterpret_cast<PyCFunction>(semaphore_exit), METH_FASTCALL, "As release()."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef semaphore_attributes[] = {
    {"_cond", get_cond, set_cond, "A Condition over a Lock.", nullptr},
    {"_value", get_tally, set_tally, "The internal counter.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, const_cast<char*>("The native part of threading.Semaphore.")},
    {Py_tp_new, reinterpret_cast<void*>(semaphore_new)},
    {Py_tp_init, reinterpret_cast<void*>(semaphore_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(semaphore_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(semaphore_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(semaphore_clear)},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_getset, semaphore_attributes},
    {0, nullptr},
};

PyType_Spec semaphore_spec = {
    .name = "triga._core.Semaphore",
    .basicsize = sizeof(semaphore_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = semaphore_slots,
};

PyMethodDef bounded_methods[] = {
    {"release", reinterpret_cast<PyCFunction>(semaphore_release<true>), METH_FASTCALL | METH_KEYWORDS,
     "release($self, /, n=1)\n--\n\nIncrement the internal counter by n, and wake as many that wait.\n\n"
     "Raises ValueError if the counter would exceed its initial value."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef bounded_attributes[] = {
    {"_initial_value", get_tally, set_tally, "The counter's bound.", const_cast<char*>("initial")},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot bounded_slots[] = {
    {Py_tp_doc, const_cast<char*>("The native part of threading.BoundedSemaphore.")},
    {Py_tp_methods, bounded_methods},
    {Py_tp_getset, bounded_attributes},
    {0, nullptr},
};

PyType_Spec bounded_spec = {
    .name = "triga._core.BoundedSemaphore",
    .basicsize = sizeof(semaphore_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = bounded_slots,
};

}  // namespace

bool add_semaphore_types(PyObject* module) {
  const py::ref plain = py::ref::steal(PyType_FromModuleAndSpec(module, &semaphore_spec, nullptr));
  if (!plain) return false;
  const py::ref bounded = py::ref::steal(PyType_FromModuleAndSpec(module, &bounded_spec, plain.get()));
  return bounded && PyModule_AddType(module, plain.type()) == 0 &&
         PyModule_AddType(module, bounded.type()) == 0;
}

}  // namespace triga
