// SPDX-License-Identifier: MIT
// The type under queue.Queue, LifoQueue and PriorityQueue: its life, its attributes, its family.
#include <cmath>
#include <limits>

#include "bindings/module_state.h"
#include "bindings/py/arguments.h"
#include "bindings/types/queue.h"
#include "bindings/types/register_types.h"

namespace triga {

namespace {

// ---- life

queue_state& state_of_queues(PyTypeObject* type) { return state_of(type).queues; }

PyObject* queue_new(PyTypeObject* type, PyObject*, PyObject*) {
  queue_state& state = state_of_queues(type);
  py::ref family = py::ref::steal(family_of(type, state));
  if (!family) return nullptr;
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  queue_object& queue = as_queue(self);  // zeroed: the wait lists are empty, nobody holds the mutex
  queue.state = &state;
  queue.family = reinterpret_cast<class_family*>(family.release());
  return self;
}

// maxsize as a number of items, or ask_python where only its own comparison can tell.
Py_ssize_t limit_of(PyObject* maxsize) {
  constexpr Py_ssize_t most = std::numeric_limits<Py_ssize_t>::max();
  if (PyLong_Check(maxsize)) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(maxsize, &overflow);
    if (overflow != 0) return overflow > 0 ? most : 0;
    return value > 0 ? static_cast<Py_ssize_t>(value) : 0;
  }
  if (!PyFloat_CheckExact(maxsize)) return ask_python;
  const double value = std::ceil(PyFloat_AS_DOUBLE(maxsize));
  if (!(value > 0)) return 0;
  return value < 9e18 ? static_cast<Py_ssize_t>(value) : most;
}

void set_maxsize(queue_object& queue, PyObject* maxsize) {
  PyObject* const old = queue.maxsize;
  queue.maxsize = Py_NewRef(maxsize);
  queue.limit = limit_of(maxsize);
  Py_XDECREF(old);
}

void forget_mutex_and_conditions(queue_object& queue) {
  for (PyObject*& condition : queue.conditions) Py_CLEAR(condition);
  Py_CLEAR(queue.mutex);
}

bool run_init_hook(queue_object& queue) {
  const queue_verdict* const verdict = verdict_of(queue);
  if (verdict == nullptr) return false;
  if (verdict->init != queue_hook::python) return init_items(queue, verdict->init);
  PyObject* const done =
      PyObject_CallMethodOneArg(as_object(queue), queue.state->names.init_hook.get(), queue.maxsize);
  Py_XDECREF(done);
  return done != nullptr;
}

int queue_init(PyObject* self, PyObject* arguments, PyObject* keywords) {
  queue_object& queue = as_queue(self);
  PyObject* maxsize = nullptr;
  static const char* const names[] = {"maxsize", nullptr};
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:Queue", const_cast<char**>(names), &maxsize))
    return -1;
  const py::ref none = maxsize == nullptr ? py::ref::steal(PyLong_FromLong(0)) : py::ref::borrow(maxsize);
  set_maxsize(queue, none.get());
  if (!run_init_hook(queue)) return -1;
  forget_mutex_and_conditions(queue);
  queue.busy = queue.foreign = queue.shut_down = false;
  queue.unfinished = 0;
  return 0;
}

int queue_traverse(PyObject* self, visitproc visit, void* arg) {
  queue_object& queue = as_queue(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(queue.family);
  Py_VISIT(queue.items);
  Py_VISIT(queue.maxsize);
  Py_VISIT(queue.mutex);
  for (PyObject* condition : queue.conditions) Py_VISIT(condition);
  return 0;
}

int queue_clear(PyObject* self) {
  queue_object& queue = as_queue(self);
  Py_CLEAR(queue.items);
  queue.container = queue_container::other;
  forget_mutex_and_conditions(queue);
  Py_CLEAR(queue.maxsize);
  Py_CLEAR(queue.family);
  return 0;
}

void queue_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  queue_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// A hook that is assigned on the instance hides the class's: from then on the hooks are called by name.
int queue_setattro(PyObject* self, PyObject* name, PyObject* value) {
  const auto& names = as_queue(self).state->names;
  for (PyObject* hook : {names.put_hook.get(), names.get_hook.get(), names.qsize_hook.get(),
                         names.init_hook.get(), names.put.get(), names.get.get()}) {
    if (name == hook) as_queue(self).instance_hooks = true;
  }
  return PyObject_GenericSetAttr(self, name, value);
}

// ---- attributes

PyObject* missing(PyObject* self, const char* name) {
  PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute '%s'", Py_TYPE(self)->tp_name, name);
  return nullptr;
}

bool refuse_deletion(PyObject* value, const char* name) {
  if (value == nullptr)
    PyErr_Format(PyExc_AttributeError, "attribute '%s' of a queue cannot be deleted", name);
  return value == nullptr;
}

PyObject* get_items(PyObject* self, void*) {
  PyObject* const items = as_queue(self).items;
  return items != nullptr ? Py_NewRef(items) : missing(self, "queue");
}

int assign_items(PyObject* self, PyObject* value, void*) {
  set_items(as_queue(self), Py_XNewRef(value));
  return 0;
}

PyObject* get_maxsize(PyObject* self, void*) {
  PyObject* const maxsize = as_queue(self).maxsize;
  return maxsize != nullptr ? Py_NewRef(maxsize) : missing(self, "maxsize");
}

int assign_maxsize(PyObject* self, PyObject* value, void*) {
  if (refuse_deletion(value, "maxsize")) return -1;
  set_maxsize(as_queue(self), value);
  return 0;
}

PyObject* get_unfinished(PyObject* self, void*) { return PyLong_FromSsize_t(as_queue(self).unfinished); }

int assign_unfinished(PyObject* self, PyObject* value, void*) {
  if (refuse_deletion(value, "unfinished_tasks")) return -1;
  const Py_ssize_t number = PyNumber_AsSsize_t(value, PyExc_OverflowError);
  if (number == -1 && PyErr_Occurred() != nullptr) return -1;
  as_queue(self).unfinished = number;
  return 0;
}

#if PY_VERSION_HEX >= 0x030D0000
PyObject* get_is_shutdown(PyObject* self, void*) { return PyBool_FromLong(as_queue(self).shut_down); }

int assign_is_shutdown(PyObject* self, PyObject* value, void*) {
  if (refuse_deletion(value, "is_shutdown")) return -1;
  const int truth = PyObject_IsTrue(value);
  if (truth < 0) return -1;
  as_queue(self).shut_down = truth != 0;
  return 0;
}
#endif

PyObject* get_mutex(PyObject* self, void*) {
  queue_object& queue = as_queue(self);
  return queue.maxsize != nullptr ? Py_XNewRef(materialise_mutex(queue)) : missing(self, "mutex");
}

int assign_mutex(PyObject* self, PyObject* value, void*) {
  queue_object& queue = as_queue(self);
  if (refuse_deletion(value, "mutex") || !make_foreign(queue)) return -1;
  Py_SETREF(queue.mutex, Py_NewRef(value));
  return 0;
}

queue_event event_of(void* closure) {
  return static_cast<queue_event>(reinterpret_cast<std::uintptr_t>(closure));
}

PyObject* get_condition(PyObject* self, void* closure) {
  queue_object& queue = as_queue(self);
  return queue.maxsize != nullptr ? Py_XNewRef(materialise_condition(queue, event_of(closure)))
                                  : missing(self, "not_empty");
}

int assign_condition(PyObject* self, PyObject* value, void* closure) {
  queue_object& queue = as_queue(self);
  if (refuse_deletion(value, "not_empty") || !make_foreign(queue)) return -1;
  Py_SETREF(queue.conditions[event_of(closure)], Py_NewRef(value));
  return 0;
}

void* closure_of(queue_event event) noexcept {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(event));
}

PyGetSetDef queue_attributes[] = {
    {"queue", get_items, assign_items, "The deque or list that holds the items.", nullptr},
    {"maxsize", get_maxsize, assign_maxsize, "The number of items that the queue may hold; 0 or less: any.",
     nullptr},
    {"unfinished_tasks", get_unfinished, assign_unfinished, "Items put and not yet marked as done.", nullptr},
#if PY_VERSION_HEX >= 0x030D0000
    {"is_shutdown", get_is_shutdown, assign_is_shutdown, "True once shutdown() was called.", nullptr},
#endif
    {"mutex", get_mutex, assign_mutex, "The lock that keeps every operation out while it is held.", nullptr},
    {"not_empty", get_condition, assign_condition, "A Condition: an item was added.", closure_of(not_empty)},
    {"not_full", get_condition, assign_condition, "A Condition: an item was removed.", closure_of(not_full)},
    {"all_tasks_done", get_condition, assign_condition, "A Condition: the last unfinished task is done.",
     closure_of(all_tasks_done)},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot queue_slots[] = {
    {Py_tp_doc, const_cast<char*>("The native part of the classes of module queue.")},
    {Py_tp_new, reinterpret_cast<void*>(queue_new)},
    {Py_tp_init, reinterpret_cast<void*>(queue_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(queue_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(queue_clear)},
    {Py_tp_setattro, reinterpret_cast<void*>(queue_setattro)},
    {Py_tp_getset, queue_attributes},
    {0, nullptr},
};

PyType_Spec queue_spec = {
    .name = "triga._core.Queue",
    .basicsize = sizeof(queue_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = queue_slots,
};

}  // namespace

bool add_queue_types(PyObject* module, queue_state& state) {
  state.queue_type = py::ref::steal(PyType_FromModuleAndSpec(module, &queue_spec, nullptr));
  return state.queue_type && PyModule_AddType(module, state.queue_type.type()) == 0;
}

}  // namespace triga
