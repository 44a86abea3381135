// SPDX-License-Identifier: MIT
// What ties an asyncio future to a native concurrent.futures.Future, as asyncio.wrap_future() does: the
// outcome of the one, from whatever thread, becomes the outcome of the other in its loop, and a cancellation
// goes the other way.
#include "bindings/types/future_link.h"

#include <Python.h>
#include <structmember.h>

#include <cstddef>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/future.h"
#include "bindings/types/loop.h"

namespace triga {
namespace {

// A callable. Called with its source it goes to the loop, called there (without an argument) it hands the
// outcome over, and called with its target it passes a cancellation on. Empty once the outcome was handed
// over.
struct future_link {
  PyObject_HEAD vectorcallfunc call;
  PyObject* source;
  PyObject* target;
  PyObject* loop;
};

future_link* as_link(PyObject* self) noexcept { return reinterpret_cast<future_link*>(self); }

int link_clear(PyObject* self) {
  Py_CLEAR(as_link(self)->source);
  Py_CLEAR(as_link(self)->target);
  Py_CLEAR(as_link(self)->loop);
  return 0;
}

PyObject* none_if(bool good) noexcept { return good ? Py_NewRef(Py_None) : nullptr; }

bool call(PyObject* object, const char* method) {
  return static_cast<bool>(py::ref::steal(PyObject_CallMethod(object, method, nullptr)));
}

// 1: yes, 0: no, -1: an exception is set.
int ask(PyObject* object, const char* method) {
  const py::ref answer = py::ref::steal(PyObject_CallMethod(object, method, nullptr));
  return answer ? PyObject_IsTrue(answer.get()) : -1;
}

// In the thread that completed the source: to the loop's thread.
bool go_to_loop(PyObject* self) {
  PyObject* const loop = as_link(self)->loop;
  if (loop == nullptr || loops::fields(loop).closed != 0) return true;  // nobody is left to be told
  PyObject* const context = PyContext_CopyCurrent();
  if (context == nullptr) return false;
  loops::core& core = loops::core_of(loop);
  core.loop().call_soon({.target = Py_NewRef(self), .context = context});
  core.loop().wake();
  return true;
}

// asyncio's own copying, for exceptions, cancellations and futures that somebody else completed.
bool copy_by_asyncio(PyObject* self, PyObject* source, PyObject* target) {
  const py::ref& futures = state_of(Py_TYPE(self)).loop.futures;
  return static_cast<bool>(
      py::ref::steal(PyObject_CallMethod(futures.get(), "_copy_future_state", "OO", source, target)));
}

bool hand_over(PyObject* self) {
  future_link* const link = as_link(self);
  if (link->source == nullptr) return true;
  loops::core_of(link->loop).loop().delivery_came();
  const py::ref source = py::ref::borrow(link->source);
  const py::ref target = py::ref::borrow(link->target);
  link_clear(self);  // the source's list of callbacks keeps the link
  const future_object* const outcome = as_future(source.get());
  const int done = ask(target.get(), "done");
  if (done < 0) return false;
  const bool returned = outcome->state.now() == exec::progress::finished &&
                        (outcome->exception == nullptr || outcome->exception == Py_None);
  if (done == 1 || !returned) return copy_by_asyncio(self, source.get(), target.get());
  return static_cast<bool>(py::ref::steal(PyObject_CallMethod(
      target.get(), "set_result", "(O)", outcome->result != nullptr ? outcome->result : Py_None)));
}

bool pass_cancellation_on(PyObject* self) {
  const int cancelled = ask(as_link(self)->target, "cancelled");
  return cancelled == 0 || (cancelled == 1 && call(as_link(self)->source, "cancel"));
}

PyObject* link_call(PyObject* self, PyObject* const* args, std::size_t count, PyObject*) {
  if (PyVectorcall_NARGS(count) == 0) return none_if(hand_over(self));
  if (as_link(self)->source == nullptr) Py_RETURN_NONE;
  return none_if(args[0] == as_link(self)->source ? go_to_loop(self) : pass_cancellation_on(self));
}

int link_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(as_link(self)->source);
  Py_VISIT(as_link(self)->target);
  Py_VISIT(as_link(self)->loop);
  return 0;
}

void link_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  // Never handed over: the loop was closed first, or is being collected.
  if (PyObject* const loop = as_link(self)->loop; loop != nullptr && loops::fields(loop).native != nullptr) {
    loops::core_of(loop).loop().delivery_came();
  }
  link_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef link_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(future_link, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot link_slots[] = {
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_members, link_members},
    {Py_tp_traverse, reinterpret_cast<void*>(link_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(link_clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(link_dealloc)},
    {0, nullptr},
};

PyType_Spec link_spec = {.name = "triga._core.FutureLink",
                         .basicsize = sizeof(future_link),
                         .itemsize = 0,
                         .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                                  Py_TPFLAGS_DISALLOW_INSTANTIATION,
                         .slots = link_slots};

py::ref new_link(const py::ref& type, PyObject* loop, PyObject* source, PyObject* target) {
  py::ref made = py::ref::steal(PyType_GenericAlloc(type.type(), 0));
  if (!made) return made;
  future_link* const link = as_link(made.get());
  link->call = link_call;
  link->source = Py_NewRef(source);
  link->target = Py_NewRef(target);
  link->loop = Py_NewRef(loop);
  loops::core_of(loop).loop().expect_delivery();
  return made;
}

bool tie(PyObject* future, PyObject* link) {
  return static_cast<bool>(py::ref::steal(PyObject_CallMethod(future, "add_done_callback", "(O)", link)));
}

}  // namespace

void make_future_link_type(PyObject* module) {
  py::ref type = py::ref::steal(PyType_FromModuleAndSpec(module, &link_spec, nullptr));
  if (!type) py::throw_raised();
  state_of(module).loop.future_link = std::move(type);
}

PyObject* follow_future(module_state& state, PyObject* loop, PyObject* source) {
  py::ref target = py::ref::steal(PyObject_CallMethod(loop, "create_future", nullptr));
  const py::ref link = target ? new_link(state.loop.future_link, loop, source, target.get()) : py::ref();
  if (!link || !tie(target.get(), link.get()) || !tie(source, link.get())) return nullptr;
  return target.release();
}

PyObject* follow_any_future(PyObject* loop, PyObject* source) {
  const py::ref futures = py::ref::steal(PyImport_ImportModule("asyncio.futures"));
  if (!futures) return nullptr;
  const auto* const native = PyType_GetModuleByDef(Py_TYPE(source), &core_module_definition);
  if (native == nullptr) PyErr_Clear();  // the standard library's future, or a program's own
  if (native != nullptr) {
    module_state& state = state_of(Py_TYPE(source));
    if (PyObject_TypeCheck(source, state.futures.future_core.type()) != 0 &&
        reinterpret_cast<PyObject*>(Py_TYPE(loop)) == state.loop.native_class.get()) {
      return follow_future(state, loop, source);
    }
  }
  const py::ref wrap = py::ref::steal(PyObject_GetAttrString(futures.get(), "wrap_future"));
  const py::ref args = py::ref::steal(PyTuple_Pack(1, source));
  const py::ref keywords = py::ref::steal(Py_BuildValue("{sO}", "loop", loop));
  return wrap && args && keywords ? PyObject_Call(wrap.get(), args.get(), keywords.get()) : nullptr;
}

PyObject* await_future(PyObject* self) {
  const py::ref events = py::ref::steal(PyImport_ImportModule("asyncio.events"));
  const py::ref loop =
      events ? py::ref::steal(PyObject_CallMethod(events.get(), "get_running_loop", nullptr)) : py::ref();
  const py::ref target = loop ? py::ref::steal(follow_any_future(loop.get(), self)) : py::ref();
  return target ? PyObject_CallMethod(target.get(), "__await__", nullptr) : nullptr;
}

}  // namespace triga
