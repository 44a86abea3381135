// SPDX-License-Identifier: MIT
#include "bindings/types/thread_handle.h"

#include <Python.h>

#include <new>

#include "bindings/module_state.h"
#include "bindings/py/gil.h"
#include "bindings/py/seconds.h"
#include "bindings/py/throw_raised.h"
#include "bindings/py/waiting.h"
#include "runtime/sync/spin.h"

namespace triga {
namespace {

using exec::thread_handle;

thread_handle& handle_of(PyObject* self) noexcept {
  return *reinterpret_cast<thread_handle_object*>(self)->handle;
}

PyObject* handle_make(PyTypeObject* type) {
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  new (&reinterpret_cast<thread_handle_object*>(self)->handle)
      std::shared_ptr<thread_handle>(std::make_shared<thread_handle>());
  return self;
}

PyObject* handle_tp_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  if (PyTuple_GET_SIZE(args) != 0 || (kwargs != nullptr && PyDict_GET_SIZE(kwargs) != 0)) {
    PyErr_SetString(PyExc_TypeError, "_ThreadHandle() takes no arguments");
    return nullptr;
  }
  return handle_make(type);
}

int visit_type(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return 0;
}

template <class Object, class Member>
void dealloc_with(PyObject* self, Member Object::* member) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  (reinterpret_cast<Object*>(self)->*member).~Member();
  type->tp_free(self);
  Py_DECREF(type);
}

void handle_dealloc(PyObject* self) { dealloc_with(self, &thread_handle_object::handle); }
void lease_dealloc(PyObject* self) { dealloc_with(self, &thread_lease_object::handle); }

PyObject* handle_repr(PyObject* self) {
  return PyUnicode_FromFormat("<%s object: ident=%zu>", Py_TYPE(self)->tp_name, handle_of(self).ident());
}

PyObject* handle_ident(PyObject* self, void*) { return PyLong_FromSize_t(handle_of(self).ident()); }

PyObject* handle_is_done(PyObject* self, PyObject*) { return PyBool_FromLong(handle_of(self).done()); }

bool require_started(const thread_handle& handle) {
  if (handle.now() != thread_handle::phase::not_started) return true;
  PyErr_SetString(PyExc_RuntimeError, "thread not started");
  return false;
}

PyObject* handle_set_done(PyObject* self, PyObject*) {
  thread_handle& handle = handle_of(self);
  if (!require_started(handle)) return nullptr;
  handle.finish();
  Py_RETURN_NONE;
}

PyObject* handle_join(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count > 1) return PyErr_Format(PyExc_TypeError, "join expected at most 1 argument, got %zd", count);
  time_point deadline = never;
  if (count == 1 && args[0] != Py_None) {
    const auto timeout = py::seconds(args[0]);
    if (!timeout) return nullptr;
    if (timeout->count() >= 0) deadline = deadline_after(*timeout);
  }
  thread_handle& handle = handle_of(self);
  if (!require_started(handle)) return nullptr;
  if (!handle.done() && handle.ident() == static_cast<std::uintptr_t>(PyThread_get_thread_ident())) {
    PyErr_SetString(PyExc_RuntimeError, "Cannot join current thread");
    return nullptr;
  }
  if (!join_thread(reinterpret_cast<thread_handle_object*>(self)->handle, deadline)) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef handle_methods[] = {
    {"is_done", handle_is_done, METH_NOARGS, nullptr},
    {"_set_done", handle_set_done, METH_NOARGS, nullptr},
    {"join", reinterpret_cast<PyCFunction>(handle_join), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef handle_getset[] = {
    {"ident", handle_ident, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot handle_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(handle_tp_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(handle_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(visit_type)},
    {Py_tp_repr, reinterpret_cast<void*>(handle_repr)},
    {Py_tp_methods, handle_methods},
    {Py_tp_getset, handle_getset},
    {0, nullptr},
};

PyType_Spec handle_spec = {
    .name = "_thread._ThreadHandle",
    .basicsize = sizeof(thread_handle_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = handle_slots,
};

// look_out(): what a join of 3.11 and 3.12 does before it sleeps on a lock of CPython's. Returns when the
// thread has ended, or when sleeping is better.
PyObject* lease_look_out(PyObject* self, PyObject*) {
  // A copy that is left behind if this thread is unwound; see join_thread().
  const std::shared_ptr<thread_handle> kept = reinterpret_cast<thread_lease_object*>(self)->handle;
  bool began = false;
  if (!kept->done()) {
    // Safe: only the handle is touched.
    const py::gil_release released;
    sync::spin turn(sync::waiting_for::thread_end);
    began = turn.began();
    while (turn.again()) {
      if (kept->done() && turn.succeeded()) break;
    }
  }
  // A signal that came meanwhile has interrupted nothing.
  if (began && PyErr_CheckSignals() != 0) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef lease_methods[] = {
    {"look_out", lease_look_out, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot lease_slots[] = {
    {Py_tp_methods, lease_methods},
    {Py_tp_dealloc, reinterpret_cast<void*>(lease_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(visit_type)},
    {0, nullptr},
};

PyType_Spec lease_spec = {
    .name = "triga._core.ThreadLease",
    .basicsize = sizeof(thread_lease_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = lease_slots,
};

py::ref make_type(PyObject* module, PyType_Spec& spec) {
  auto type = py::ref::steal(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!type) py::throw_raised();
  return type;
}

}  // namespace

PyObject* thread_handle_new(module_state& state) { return handle_make(state.threads.handle_type.type()); }

PyObject* thread_lease_new(module_state& state, std::shared_ptr<exec::thread_handle> handle) {
  PyTypeObject* const type = state.threads.lease_type.type();
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  new (&reinterpret_cast<thread_lease_object*>(self)->handle)
      std::shared_ptr<exec::thread_handle>(std::move(handle));
  return self;
}

bool join_thread(const std::shared_ptr<exec::thread_handle>& handle, time_point deadline) {
  if (handle->done()) return true;
  // A copy: the object may be dropped by another thread while this one waits. Left behind if this thread is
  // unwound.
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the copy is what keeps the handle
  const std::shared_ptr<exec::thread_handle> kept = handle;
#if PY_VERSION_HEX >= 0x030E0000
  // No other thread runs Python any more, so that this one could never end.
  if (Py_IsFinalizing()) {
    PyErr_SetString(PyExc_PythonFinalizationError, "cannot join thread at Python shutdown");
    return false;
  }
#endif
  const auto done = [&kept] { return kept->done(); };
  const auto sleep = [&kept](time_point until) { return kept->wait(until); };
  return py::wait_without_gil(sync::waiting_for::thread_end, deadline, done, done, sleep) !=
         py::waited::failed;
}

void add_thread_handle_types(PyObject* module) {
  threads_state& state = state_of(module).threads;
  state.handle_type = make_type(module, handle_spec);
  state.lease_type = make_type(module, lease_spec);
  if (PyModule_AddObjectRef(module, "ThreadHandle", state.handle_type.get()) != 0) {
    py::throw_raised();
  }
}

}  // namespace triga
