// SPDX-License-Identifier: MIT
// _core.MappedItems: one function called for each of many items, by as many workers as come.
//
// A task and a future for each item cost ten times a call of a small function. Here each worker takes the
// next item when it is done with one, as it would take the next task of a queue: an item that takes long
// keeps none of the others from its turn. Everything is guarded by the GIL.
#include "bindings/types/mapped_items.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "bindings/module_state.h"
#include "bindings/py/raised.h"
#include "bindings/py/ref.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/future.h"
#include "runtime/embed/gil_turn.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

struct mapped_items {
  py::ref function;
  py::ref items;   // a tuple, or a range
  py::ref done;    // a future, which gets its result when every item has had its turn
  py::ref put;     // is given each outcome as it comes; null: the results are kept
  py::ref failed;  // failed(error): what `put` is given for an exception
  py::ref error;   // the first, or why the rest was abandoned
  std::vector<py::ref> results;
  Py_ssize_t count = 0;
  Py_ssize_t next = 0;
  Py_ssize_t running = 0;  // workers that are in a call, or about to look for the next item
  bool told = false;

  int traverse(visitproc visit, void* arg) const {
    for (const py::ref* each : {&function, &items, &done, &put, &failed, &error}) Py_VISIT(each->get());
    for (const py::ref& each : results) Py_VISIT(each.get());
    return 0;
  }
  void clear() {
    for (py::ref* each : {&function, &items, &done, &put, &failed, &error}) each->reset();
    std::vector<py::ref>().swap(results);
  }
};

struct mapped_items_object {
  PyObject_HEAD alignas(mapped_items) std::byte native[sizeof(mapped_items)];
};

mapped_items& native_of(PyObject* self) noexcept {
  return *std::launder(reinterpret_cast<mapped_items*>(reinterpret_cast<mapped_items_object*>(self)->native));
}

// A sequence that nobody can change: a range is one, and of the rest a tuple is made.
py::ref fixed(PyObject* given) {
  return PyRange_Check(given) ? py::ref::borrow(given) : py::ref::steal(PySequence_Tuple(given));
}

PyObject* mapped_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  PyObject *function = nullptr, *given = nullptr, *done = nullptr, *put = nullptr, *failed = nullptr;
  if (keywords != nullptr && PyDict_GET_SIZE(keywords) > 0) {
    return PyErr_Format(PyExc_TypeError, "MappedItems takes no keyword arguments");
  }
  if (!PyArg_ParseTuple(args, "OOO|OO:MappedItems", &function, &given, &done, &put, &failed)) return nullptr;
  py::ref items = fixed(given);
  const Py_ssize_t count = items ? PySequence_Size(items.get()) : -1;
  if (count < 0) return nullptr;
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  mapped_items& made = *new (reinterpret_cast<mapped_items_object*>(self)->native) mapped_items;
  made.function = py::ref::borrow(function);
  made.items = std::move(items);
  made.done = py::ref::borrow(done);
  made.put = py::ref::borrow(put);
  made.failed = py::ref::borrow(failed);
  made.count = count;
  try {
    if (put == nullptr) made.results.resize(static_cast<std::size_t>(count));
  } catch (const std::bad_alloc&) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

// The last to leave says that all is done. False with an exception set.
bool leave(mapped_items& self) {
  if (self.running > 0 || self.next < self.count || std::exchange(self.told, true)) return true;
  self.function.reset();
  self.items.reset();
  const py::ref done = self.done;
  return static_cast<bool>(py::ref::steal(PyObject_CallMethod(done.get(), "set_result", "O", Py_None)));
}

bool put_failure(mapped_items& self, PyObject* error) {
  const py::ref failure = py::ref::steal(PyObject_CallOneArg(self.failed.get(), error));
  return failure && py::ref::steal(PyObject_CallOneArg(self.put.get(), failure.get()));
}

// Of an item without a result. A StopIteration leaves the item out of the results, as in the standard
// library, where list(map(function, items)) ends by it.
bool note_failure(mapped_items& self) {
  const py::ref error = py::take_raised();
  if (self.put) return put_failure(self, error.get());
  if (!self.error && PyErr_GivenExceptionMatches(error.get(), PyExc_StopIteration) == 0) self.error = error;
  return true;
}

// The next item's turn. False with an exception set, which is none of the function's.
bool run_next(mapped_items& self) {
  const Py_ssize_t at = self.next++;
  const py::ref function = self.function;  // the last worker drops it
  const py::ref item = PyTuple_CheckExact(self.items.get())
                           ? py::ref::borrow(PyTuple_GET_ITEM(self.items.get(), at))
                           : py::ref::steal(PySequence_GetItem(self.items.get(), at));
  py::ref result = item ? py::ref::steal(PyObject_CallOneArg(function.get(), item.get())) : py::ref();
  if (!result) return note_failure(self);
  if (self.put) return static_cast<bool>(py::ref::steal(PyObject_CallOneArg(self.put.get(), result.get())));
  self.results[static_cast<std::size_t>(at)] = std::move(result);
  return true;
}

PyObject* mapped_run(PyObject* object, PyObject*) {
  const py::ref alive = py::ref::borrow(object);
  mapped_items& self = native_of(object);
  const py::ref empty_function = state_of(Py_TYPE(object)).futures.empty_function;
  embed::gil_turn turn;
  turn.begin();
  std::uint64_t ran = 0;
  bool good = true;
  ++self.running;
  while (good && self.next < self.count) {
    good = run_next(self);
    ++ran;
    if (good && self.next < self.count) turn.after_task(empty_function.get());
  }
  --self.running;
  trace::count(trace::counter::tasks_run, ran);
  py::ref failure = py::take_raised();
  if (!leave(self)) PyErr_WriteUnraisable(object);
  if (good) Py_RETURN_NONE;
  py::raise_again(std::move(failure));
  return nullptr;
}

PyObject* mapped_abandon(PyObject* object, PyObject* error) {
  mapped_items& self = native_of(object);
  const Py_ssize_t left = self.count - std::exchange(self.next, self.count);
  if (left > 0 && !self.error) self.error = py::ref::borrow(error);
  for (Py_ssize_t at = 0; at < left && self.put; ++at) {
    if (!put_failure(self, error)) return nullptr;
  }
  if (!leave(self)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* mapped_results(PyObject* object, PyObject*) {
  const std::vector<py::ref>& results = native_of(object).results;
  const auto count = std::count_if(results.begin(), results.end(), [](const py::ref& each) { return each; });
  PyObject* const list = PyList_New(count);
  if (list == nullptr) return nullptr;
  Py_ssize_t at = 0;
  for (const py::ref& each : results) {
    if (each) PyList_SET_ITEM(list, at++, Py_NewRef(each.get()));
  }
  return list;
}

PyObject* get_error(PyObject* object, void*) {
  PyObject* const error = native_of(object).error.get();
  return Py_NewRef(error != nullptr ? error : Py_None);
}

PyObject* get_done(PyObject* object, void*) {
  PyObject* const done = native_of(object).done.get();
  return Py_NewRef(done != nullptr ? done : Py_None);
}

Py_ssize_t mapped_length(PyObject* object) { return native_of(object).count; }

int mapped_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  return native_of(object).traverse(visit, arg);
}

int mapped_clear(PyObject* object) {
  native_of(object).clear();
  return 0;
}

void mapped_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  native_of(self).clear();
  native_of(self).~mapped_items();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef mapped_methods[] = {
    {"run", mapped_run, METH_NOARGS, "Calls the function for one item after the other, until none is left."},
    {"abandon", mapped_abandon, METH_O,
     "abandon(error): no item begins from now on; the rest fails with the error."},
    {"results", mapped_results, METH_NOARGS, "The results in the order of the items."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef mapped_properties[] = {
    {"error", get_error, nullptr, "The first exception, or None.", nullptr},
    {"done", get_done, nullptr, "The future that says that every item has had its turn.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot mapped_slots[] = {
    {Py_tp_doc, const_cast<char*>("Calls of one function for many items, which workers share among them.")},
    {Py_tp_new, reinterpret_cast<void*>(mapped_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(mapped_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(mapped_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(mapped_clear)},
    {Py_tp_methods, mapped_methods},
    {Py_tp_getset, mapped_properties},
    {Py_sq_length, reinterpret_cast<void*>(mapped_length)},
    {0, nullptr},
};

PyType_Spec mapped_spec = {
    .name = "triga._core.MappedItems",
    .basicsize = sizeof(mapped_items_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = mapped_slots,
};

}  // namespace

void add_mapped_items_type(PyObject* module) {
  const py::ref type = py::ref::steal(PyType_FromModuleAndSpec(module, &mapped_spec, nullptr));
  if (!type || PyModule_AddObjectRef(module, "MappedItems", type.get()) != 0) py::throw_raised();
}

}  // namespace triga
