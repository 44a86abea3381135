// SPDX-License-Identifier: MIT
// The types under module queue and threading.Condition. The classes themselves are made in triga/_threads,
// one set for each copy of those modules.
#include "bindings/module_state.h"
#include "bindings/register.h"
#include "bindings/types/queue.h"
#include "bindings/types/register_types.h"

namespace triga {

int queue_state::visit(visitproc visit_one, void* argument) {
  for (const py::ref* each :
       {&queue_type, &family_type, &condition_type, &waiters_type, &deque_type, &lock_type, &allocate_lock}) {
    if (const int outcome = each->visit(visit_one, argument); outcome != 0) return outcome;
  }
  return 0;  // the names are strings, which refer to nothing
}

void queue_state::clear() {
  for (py::ref* each :
       {&queue_type, &family_type, &condition_type, &waiters_type, &deque_type, &lock_type, &allocate_lock}) {
    each->reset();
  }
}

namespace {

namespace pb = pybind11;

void intern_names(queue_state& state) {
  const auto intern = [](py::ref& name, const char* text) {
    name = py::ref::steal(PyUnicode_InternFromString(text));
    if (!name) throw pb::error_already_set();
  };
  auto& names = state.names;
  intern(names.put, "put");
  intern(names.get, "get");
  intern(names.put_hook, "_put");
  intern(names.get_hook, "_get");
  intern(names.qsize_hook, "_qsize");
  intern(names.init_hook, "_init");
  intern(names.item, "item");
  intern(names.block, "block");
  intern(names.blocking, "blocking");
  intern(names.timeout, "timeout");
  intern(names.immediate, "immediate");
  intern(names.maxsize, "maxsize");
  intern(names.queue, "queue");
  intern(names.append, "append");
  intern(names.popleft, "popleft");
  intern(names.pop, "pop");
  intern(names.acquire, "acquire");
  intern(names.release, "release");
  intern(names.mutex, "mutex");
  intern(names.not_empty, "not_empty");
  intern(names.not_full, "not_full");
  intern(names.all_tasks_done, "all_tasks_done");
  intern(names.unfinished_tasks, "unfinished_tasks");
  intern(names.heappush, "heappush");
  intern(names.heappop, "heappop");
  intern(names.family, "_family");
  intern(names.is_owned, "_is_owned");
  intern(names.release_save, "_release_save");
  intern(names.acquire_restore, "_acquire_restore");
  intern(names.lock, "_lock");
  intern(names.enter, "__enter__");
  intern(names.exit, "__exit__");
}

// The C function of a method of a built-in type that takes `flags`.
PyCFunction function_of(const py::ref& type, const char* name, int flags) {
  const pb::object method = pb::reinterpret_borrow<pb::object>(type.get()).attr(name);
  if (Py_IS_TYPE(method.ptr(), &PyMethodDescr_Type)) {
    const PyMethodDef* const definition = reinterpret_cast<PyMethodDescrObject*>(method.ptr())->d_method;
    if (definition->ml_flags == flags) return definition->ml_meth;
  }
  throw std::runtime_error(std::string("this CPython's ") + type.type()->tp_name + "." + name +
                           " is not the C function that triga's queues call");
}

py::ref attribute_of(const char* module, const char* name) {
  pb::object attribute = pb::module_::import(module).attr(name);
  return py::ref::steal(attribute.release().ptr());
}

void find_builtins(queue_state& state) {
  state.deque_type = attribute_of("_collections", "deque");
  state.lock_type = attribute_of("_thread", "LockType");
  state.allocate_lock = attribute_of("_thread", "allocate_lock");
  state.deque_append = function_of(state.deque_type, "append", METH_O);
  state.deque_popleft = function_of(state.deque_type, "popleft", METH_NOARGS);
  state.lock_locked = function_of(state.lock_type, "locked", METH_NOARGS);
}

// Puts native methods into a class made in Python, as its own.
void add_methods(const pb::type& type, PyMethodDef* table) {
  for (; table->ml_name != nullptr; ++table) {
    const auto descriptor = pb::reinterpret_steal<pb::object>(
        PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(type.ptr()), table));
    if (!descriptor) throw pb::error_already_set();
    type.attr(table->ml_name) = descriptor;
  }
}

void add_queue_hooks(const pb::type& type, const std::string& order) {
  if (order == "fifo") return add_methods(type, fifo_hooks);
  if (order == "lifo") return add_methods(type, lifo_hooks);
  if (order == "priority") return add_methods(type, priority_hooks);
  throw std::invalid_argument("the order of a queue is fifo, lifo or priority, not " + order);
}

pb::object simple_queue_type(const pb::object& core) {
  auto type = pb::reinterpret_steal<pb::object>(new_simple_queue_type(core.ptr()));
  if (!type) throw pb::error_already_set();
  return type;
}

}  // namespace

void register_queues(pb::module_& core) {
  queue_state& state = state_of(core.ptr()).queues;
  intern_names(state);
  find_builtins(state);
  if (!add_family_type(core.ptr(), state) || !add_condition_types(core.ptr(), state) ||
      !add_event_type(core.ptr()) || !add_semaphore_types(core.ptr()) ||
      !add_queue_types(core.ptr(), state)) {
    throw pb::error_already_set();
  }
  core.def(
      "add_queue_methods", [](const pb::type& type) { add_methods(type, queue_methods); }, pb::arg("type"),
      "Gives a class that derives from _core.Queue the public methods of a queue.");
  core.def("add_queue_hooks", &add_queue_hooks, pb::arg("type"), pb::arg("order"),
           "Gives a queue class its _init, _qsize, _put and _get; order is fifo, lifo or priority.");
  core.def("new_simple_queue_type", &simple_queue_type, pb::arg("core"),
           "A new class SimpleQueue; give it a _family before use. Its argument is this module.");
}

}  // namespace triga
