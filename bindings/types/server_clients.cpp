// SPDX-License-Identifier: MIT
#include "bindings/types/server_clients.h"

#include <cstdint>
#include <deque>
#include <new>

#include "bindings/module_state.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/stream_transport.h"

namespace triga::transports {

server_clients::~server_clients() {
  for (PyObject* each : members_) native_of(each).clients_ = nullptr;
}

bool server_clients::holds(PyObject* transport) const noexcept {
  return native_of(transport).clients_ == this;
}

bool server_clients::add(PyObject* transport) {
  auto& native = native_of(transport);
  if (native.clients_ != nullptr) return native.clients_ == this;
  native.place_among_clients_ = static_cast<std::uint32_t>(members_.size());
  members_.push_back(transport);
  native.clients_ = this;
  return true;
}

bool server_clients::discard(PyObject* transport) noexcept {
  if (!holds(transport)) return false;
  native_of(transport).clients_ = nullptr;
  const std::uint32_t left = native_of(transport).place_among_clients_;
  PyObject* const last = members_.back();
  members_[left] = last;
  native_of(last).place_among_clients_ = left;
  members_.pop_back();
  return true;
}

namespace {

struct clients_object {
  PyObject_HEAD PyObject* others;  // a WeakSet
  server_clients native;
};

clients_object& clients_of(PyObject* self) noexcept { return *reinterpret_cast<clients_object*>(self); }

bool is_native_transport(PyObject* self, PyObject* transport) {
  const py::ref& type = state_of(Py_TYPE(self)).transports.type;
  return type && PyObject_TypeCheck(transport, type.type()) != 0;
}

PyObject* ask_others(PyObject* self, const char* method, PyObject* transport) {
  return PyObject_CallMethod(clients_of(self).others, method, "O", transport);
}

PyObject* clients_new(PyTypeObject* type, PyObject* arguments, PyObject* keywords) {
  PyObject* others = nullptr;
  static const char* names[] = {"", nullptr};
  if (PyArg_ParseTupleAndKeywords(arguments, keywords, "O", const_cast<char**>(names), &others) == 0) {
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  new (&clients_of(self).native) server_clients;
  clients_of(self).others = Py_NewRef(others);
  return self;
}

int clients_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(clients_of(self).others);
  return 0;
}

void clients_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clients_of(self).native.~server_clients();
  Py_CLEAR(clients_of(self).others);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* clients_add(PyObject* self, PyObject* transport) {
  if (is_native_transport(self, transport) && clients_of(self).native.add(transport)) Py_RETURN_NONE;
  return ask_others(self, "add", transport);
}

PyObject* clients_discard(PyObject* self, PyObject* transport) {
  if (is_native_transport(self, transport) && clients_of(self).native.discard(transport)) Py_RETURN_NONE;
  return ask_others(self, "discard", transport);
}

// A WeakSet, as of the original.
PyObject* clients_copy(PyObject* self, PyObject*) {
  py::ref copy = py::ref::steal(PyObject_CallMethod(clients_of(self).others, "copy", nullptr));
  // By number, and with a reference: what add() runs may take some off.
  const std::deque<PyObject*>& all = clients_of(self).native.all();
  for (std::size_t at = 0; copy && at < all.size(); ++at) {
    const py::ref each = py::ref::borrow(all[at]);
    if (!py::ref::steal(PyObject_CallMethod(copy.get(), "add", "O", each.get()))) return nullptr;
  }
  return copy.release();
}

PyObject* clients_iterate(PyObject* self) {
  const py::ref copy = py::ref::steal(clients_copy(self, nullptr));
  return copy ? PyObject_GetIter(copy.get()) : nullptr;
}

Py_ssize_t clients_length(PyObject* self) {
  const Py_ssize_t others = PyObject_Size(clients_of(self).others);
  return others < 0 ? -1 : others + static_cast<Py_ssize_t>(clients_of(self).native.all().size());
}

int clients_contains(PyObject* self, PyObject* transport) {
  if (is_native_transport(self, transport) && clients_of(self).native.holds(transport)) return 1;
  return PySequence_Contains(clients_of(self).others, transport);
}

PyMethodDef clients_methods[] = {
    {"add", clients_add, METH_O, "Adds a transport, without keeping it alive."},
    {"discard", clients_discard, METH_O, "Takes a transport off, if it is here."},
    {"copy", clients_copy, METH_NOARGS, "A WeakSet of the transports."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot clients_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("The connections of an asyncio.Server: native ones, and a WeakSet of others.")},
    {Py_tp_new, reinterpret_cast<void*>(clients_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(clients_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(clients_traverse)},
    {Py_tp_iter, reinterpret_cast<void*>(clients_iterate)},
    {Py_tp_methods, clients_methods},
    {Py_sq_length, reinterpret_cast<void*>(clients_length)},
    {Py_sq_contains, reinterpret_cast<void*>(clients_contains)},
    {0, nullptr},
};

PyType_Spec clients_spec = {
    .name = "triga._core.ServerClients",
    .basicsize = sizeof(clients_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = clients_slots,
};

}  // namespace

PyObject* make_server_clients_type(PyObject* core) {
  PyObject* const type = PyType_FromModuleAndSpec(core, &clients_spec, nullptr);
  if (type == nullptr) py::throw_raised();
  return type;
}

}  // namespace triga::transports
