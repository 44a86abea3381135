// SPDX-License-Identifier: MIT
// LoopBase: the type itself, its fields, its life, and how asyncio's classes are made known to it.
#include "bindings/types/loop.h"
#include "bindings/types/create_task.h"

#include <pybind11/pybind11.h>
#include <structmember.h>

#include <exception>
#include <system_error>

#include "bindings/module_state.h"
#include "bindings/register.h"
#include "bindings/types/asyncio_calls.h"
#include "bindings/types/file_queue.h"
#include "bindings/types/future_link.h"
#include "bindings/types/loop_clock.h"
#include "bindings/types/socket_operation.h"

namespace triga::loops {
namespace {

state& state_of_loop(PyTypeObject* type) { return triga::state_of(type).loop; }

PyObject* loop_new(PyTypeObject* type, PyObject*, PyObject*) {
  py::ref self = py::ref::steal(type->tp_alloc(type, 0));
  if (!self) return nullptr;
  try {
    fields(self.get()).native = new core(self.get(), state_of_loop(type));
    adopt_process(self.get());
  } catch (const std::system_error& error) {
    errno = error.code().value();
    return PyErr_SetFromErrno(PyExc_OSError);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  return self.release();
}

int loop_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  loop_object& loop = fields(self);
  Py_VISIT(loop.thread_id);
  Py_VISIT(loop.task_factory);
  Py_VISIT(loop.current_handle);
  Py_VISIT(loop.loop_keyword);
  return loop.native != nullptr ? loop.native->traverse(visit, arg) : 0;
}

int loop_clear(PyObject* self) {
  loop_object& loop = fields(self);
  Py_CLEAR(loop.thread_id);
  Py_CLEAR(loop.task_factory);
  Py_CLEAR(loop.current_handle);
  Py_CLEAR(loop.loop_keyword);
  if (loop.native != nullptr) loop.native->close();
  return 0;
}

void loop_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  loop_clear(self);
  delete fields(self).native;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* get_debug_flag(PyObject* self, void*) { return PyBool_FromLong(fields(self).debug); }

int set_debug_flag(PyObject* self, PyObject* value, void*) {
  const int flag = value != nullptr ? PyObject_IsTrue(value) : 0;
  if (flag < 0) return -1;
  fields(self).debug = static_cast<char>(flag);
  return 0;
}

PyMemberDef loop_members[] = {
    {"_thread_id", T_OBJECT, offsetof(loop_object, thread_id), 0, nullptr},
    {"_task_factory", T_OBJECT, offsetof(loop_object, task_factory), 0, nullptr},
    {"_current_handle", T_OBJECT, offsetof(loop_object, current_handle), 0, nullptr},
    {"_closed", T_BOOL, offsetof(loop_object, closed), 0, nullptr},
    {"_stopping", T_BOOL, offsetof(loop_object, stopping), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef loop_getset[] = {
    {"_debug", get_debug_flag, set_debug_flag, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// One method table of all parts; it has to live as long as the type, so for ever.
PyMethodDef* all_methods() {
  static std::vector<PyMethodDef> methods = [] {
    std::vector<PyMethodDef> all;
    for (const PyMethodDef* part : {schedule_methods, clock_methods, descriptor_methods, run_methods,
                                    transport_methods, accept_methods, sockets::loop_methods}) {
      for (; part->ml_name != nullptr; ++part) all.push_back(*part);
    }
    all.push_back({nullptr, nullptr, 0, nullptr});
    return all;
  }();
  return methods.data();
}

py::ref make_base(PyObject* module) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The native half of triga's event loop.")},
      {Py_tp_new, reinterpret_cast<void*>(loop_new)},
      {Py_tp_traverse, reinterpret_cast<void*>(loop_traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(loop_clear)},
      {Py_tp_dealloc, reinterpret_cast<void*>(loop_dealloc)},
      {Py_tp_setattro, reinterpret_cast<void*>(loop_setattr)},
      {Py_tp_methods, all_methods()},
      {Py_tp_members, loop_members},
      {Py_tp_getset, loop_getset},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = "triga._core.LoopBase",
                      .basicsize = sizeof(loop_object),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  return py::ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
}

// asyncio's classes and the Python helpers, given by triga._loop once asyncio was imported.
void bind_asyncio(PyObject* module, const pybind11::kwargs& given) {
  state& types = triga::state_of(module).loop;
  const auto take = [&](const char* name) { return py::ref::borrow(given[name].ptr()); };
  handles::make_types(module, given["handle"].ptr(), given["timer_handle"].ptr(),
                      given["thread_safe_handle"].ptr());
  types.handles.report_failure = take("callback_failed");
  types.handles.extract_stack = take("extract_stack");
  types.report_slow = take("callback_was_slow");
  types.futures = take("futures");
  types.tasks = take("tasks");
  types.future_name = py::ref::steal(PyUnicode_InternFromString("Future"));
  types.task_name = py::ref::steal(PyUnicode_InternFromString("Task"));
  types.stock_create_task = take("create_task");
  types.context_name = py::ref::steal(PyUnicode_InternFromString("context"));
  types.time_name = py::ref::steal(PyUnicode_InternFromString("time"));
  types.asyncio_names = find_asyncio_names(module);
#if PY_VERSION_HEX >= 0x030E0000
  types.task_keywords = py::ref::steal(Py_BuildValue("(sss)", "name", "context", "eager_start"));
#else
  types.task_keywords = py::ref::steal(Py_BuildValue("(ss)", "name", "context"));
#endif
}

}  // namespace

int state::traverse(visitproc visit, void* arg) const {
  for (const py::ref* each :
       {&base, &native_class, &futures, &tasks, &future_name, &task_name, &stock_create_task, &context_name,
        &time_name, &task_keywords, &future_link, &asyncio_names, &report_slow, &operation}) {
    Py_VISIT(each->get());
  }
  return handles.traverse(visit, arg);
}

void state::clear() {
  for (py::ref* each :
       {&base, &native_class, &futures, &tasks, &future_name, &task_name, &stock_create_task, &context_name,
        &time_name, &task_keywords, &future_link, &asyncio_names, &report_slow, &operation}) {
    each->reset();
  }
  handles.clear();
}

core* core_or_error(state& types, PyObject* loop) {
  if (types.base && PyObject_TypeCheck(loop, types.base.type()) && fields(loop).native != nullptr) {
    return fields(loop).native;
  }
  PyErr_Format(PyExc_TypeError, "a loop of triga's is needed, not %.200s", Py_TYPE(loop)->tp_name);
  return nullptr;
}

}  // namespace triga::loops

namespace triga {

void register_loop(pybind11::module_& core) {
  loops::state& types = state_of(core.ptr()).loop;
  types.base = loops::make_base(core.ptr());
  if (!types.base) throw pybind11::error_already_set();
  make_future_link_type(core.ptr());
  add_file_queue_type(core.ptr());
  core.attr("LoopBase") = pybind11::reinterpret_borrow<pybind11::object>(types.base.get());
  // The module is the function's owner and cannot be captured: a reference from it to itself would never go.
  PyObject* module = core.ptr();
  core.def(
      "bind_asyncio", [module](const pybind11::kwargs& given) { loops::bind_asyncio(module, given); },
      "Makes asyncio's classes and triga._loop's helpers known to the native loop.");
  core.def(
      "make_create_task",
      [module](const pybind11::object& events, const pybind11::object& stock) {
        PyObject* const made = loops::make_create_task(module, events.ptr(), stock.ptr());
        if (made == nullptr) throw pybind11::error_already_set();
        return pybind11::reinterpret_steal<pybind11::object>(made);
      },
      "asyncio.create_task() of 3.14 and later, natively.");
  core.def(
      "set_native_loop",
      [module](const pybind11::object& loop_class) {
        state_of(module).loop.native_class = py::ref::borrow(loop_class.ptr());
      },
      "Tells which class has nothing of the native loop overridden.");
}

}  // namespace triga
