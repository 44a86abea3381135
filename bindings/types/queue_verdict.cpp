// SPDX-License-Identifier: MIT
// What a queue class overrides. A subclass, an assignment on the class or on the instance: each changes which
// code runs.
#include <string_view>

#include "bindings/types/queue.h"

namespace triga {
namespace {

const PyMethodDef* native_method(PyObject* attribute) {
  if (!Py_IS_TYPE(attribute, &PyMethodDescr_Type)) return nullptr;
  return reinterpret_cast<PyMethodDescrObject*>(attribute)->d_method;
}

const PyMethodDef* find(const PyMethodDef* table, const char* name) {
  for (; table->ml_name != nullptr; ++table) {
    if (std::string_view(table->ml_name) == name) return table;
  }
  return nullptr;
}

// Which of our three hooks `type` has under `name`.
bool judge_hook(PyObject* type, PyObject* name, queue_hook& hook) {
  const py::ref attribute = py::ref::steal(PyObject_GetAttr(type, name));
  if (!attribute) return false;
  const PyMethodDef* const found = native_method(attribute.get());
  const char* const text = PyUnicode_AsUTF8(name);
  hook = queue_hook::python;
  if (found == nullptr || text == nullptr) return text != nullptr;
  if (found == find(fifo_hooks, text)) hook = queue_hook::fifo;
  if (found == find(lifo_hooks, text)) hook = queue_hook::lifo;
  if (found == find(priority_hooks, text)) hook = queue_hook::priority;
  return true;
}

bool judge_method(PyObject* type, PyObject* name, bool& own) {
  const py::ref attribute = py::ref::steal(PyObject_GetAttr(type, name));
  const char* const text = PyUnicode_AsUTF8(name);
  if (!attribute || text == nullptr) return false;
  own = native_method(attribute.get()) == find(queue_methods, text);
  return true;
}

bool judge_attributes(const queue_state& state, PyObject* type, bool& own) {
  const auto& names = state.names;
  own = true;
  for (PyObject* name :
       {names.mutex.get(), names.not_empty.get(), names.not_full.get(), names.all_tasks_done.get(),
        names.queue.get(), names.maxsize.get(), names.unfinished_tasks.get()}) {
    const py::ref theirs = py::ref::steal(PyObject_GetAttr(type, name));
    const py::ref ours = py::ref::steal(PyObject_GetAttr(state.queue_type.get(), name));
    if (!theirs || !ours) return false;
    own = own && theirs.get() == ours.get();
  }
  return true;
}

bool judge(const queue_state& state, PyObject* type, queue_verdict& verdict) {
  const auto& names = state.names;
  return judge_hook(type, names.put_hook.get(), verdict.put) &&
         judge_hook(type, names.get_hook.get(), verdict.get) &&
         judge_hook(type, names.qsize_hook.get(), verdict.size) &&
         judge_hook(type, names.init_hook.get(), verdict.init) &&
         judge_method(type, names.put.get(), verdict.own_put) &&
         judge_method(type, names.get.get(), verdict.own_get) &&
         judge_attributes(state, type, verdict.own_attributes);
}

}  // namespace

const queue_verdict* look_up_verdict(queue_object& queue) {
  PyTypeObject* const type = Py_TYPE(as_object(queue));
  queue_verdict verdict;
  if (!judge(*queue.state, reinterpret_cast<PyObject*>(type), verdict)) return nullptr;
  // The look-ups above have given the type a version, unless it has used up its share of them: then it is 0,
  // and verdict_of() does not trust the slot.
  verdict.version = type->tp_version_tag;
  queue_verdict& slot = queue.state->verdicts[verdict.version % 64];
  slot = verdict;
  if (!queue.instance_hooks) return &slot;
  // Everything by name: right for an instance whose own attributes may hide its class's.
  static constexpr queue_verdict by_name{.own_attributes = true};
  static constexpr queue_verdict foreign{};
  return verdict.own_attributes ? &by_name : &foreign;
}

}  // namespace triga
