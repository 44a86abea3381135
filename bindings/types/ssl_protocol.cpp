// SPDX-License-Identifier: MIT
// The native halves of SSLProtocol and of its transport as Python sees them.
#include "bindings/types/ssl_protocol.h"

#include <structmember.h>

#include <array>

#include "bindings/module_state.h"
#include "bindings/types/stream_transport.h"

namespace triga::tls {
namespace {

using transports::call_method;

state& types_of(PyObject* self) { return state_of(Py_TYPE(self)).tls; }

PyObject* none_if(bool good) { return good ? Py_NewRef(Py_None) : nullptr; }

// ---- life

std::array<PyObject**, 7> objects_of(protocol_object& self) {
  return {&self.state,     &self.sslobj,       &self.incoming,     &self.outgoing,
          &self.transport, &self.app_protocol, &self.write_backlog};
}

int protocol_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  for (PyObject** each : objects_of(protocol_of(self))) Py_VISIT(*each);
  return 0;
}

int protocol_clear(PyObject* self) {
  for (PyObject** each : objects_of(protocol_of(self))) Py_CLEAR(*each);
  return 0;
}

void protocol_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  protocol_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- what the transport calls

// A native transport receives and tells of it in one go, so that all connections share the memory.
bool shares_memory(PyObject* self) {
  const PyObject* transport = protocol_of(self).transport;
  const py::ref& native = state_of(Py_TYPE(self)).transports.type;
  return native && transport != nullptr && reinterpret_cast<PyObject*>(Py_TYPE(transport)) == native.get();
}

PyObject* get_buffer(PyObject* self, PyObject* hint) {
  const state& types = types_of(self);
  return shares_memory(self) ? Py_NewRef(types.received_view.get())
                             : by_asyncio(types, types.names.get_buffer, self, hint);
}

// Gives the received bytes to OpenSSL.
bool feed(state& types, PyObject* self, Py_ssize_t count) {
  PyObject* const incoming = protocol_of(self).incoming;
  if (is_plain_bio(types, incoming)) {  // which takes them at once
    types.received_size = count;
    return static_cast<bool>(call_known(types.memory_bio, types.bio_write, incoming, types.names.write,
                                        types.received_bytes.get()));
  }
  const py::ref bytes = py::ref::steal(PyMemoryView_FromMemory(types.received, count, PyBUF_READ));
  return bytes && transports::call_method(incoming, types.names.write, bytes.get());
}

PyObject* buffer_updated(PyObject* self, PyObject* number) {
  state& types = types_of(self);
  if (!shares_memory(self)) return by_asyncio(types, types.names.buffer_updated, self, number);
  const Py_ssize_t count = PyLong_AsSsize_t(number);
  if (PyErr_Occurred() != nullptr) return nullptr;
  if (count < 0 || count > receive_size) {
    PyErr_Format(PyExc_ValueError, "buffer_updated: %zd bytes cannot have come into a buffer of %zd", count,
                 receive_size);
    return nullptr;
  }
  return none_if(take_received(types, self, count));
}

// ---- overridden methods

const std::array<py::ref method_names::*, 5> own_methods{
    &method_names::get_buffer, &method_names::buffer_updated, &method_names::do_read,
    &method_names::do_read_copied, &method_names::process_outgoing};

int protocol_setattr(PyObject* self, PyObject* name, PyObject* value) {
  const method_names& names = types_of(self).names;
  for (const auto member : own_methods) {
    if ((names.*member).get() == name) protocol_of(self).has_own_methods = 1;  // names are interned
  }
  return PyObject_GenericSetAttr(self, name, value);
}

bool has_native_methods(const state& types) {
  for (const auto member : own_methods) {
    const py::ref& name = types.names.*member;
    const py::ref now = py::ref::steal(PyObject_GetAttr(types.protocol.get(), name.get()));
    const py::ref ours = py::ref::steal(PyObject_GetAttr(types.protocol_base.get(), name.get()));
    if (now && now.get() == ours.get()) continue;
    PyErr_Clear();
    return false;
  }
  return true;
}

// ---- the received bytes: a buffer of as much as there is now

struct received_object {
  PyObject_HEAD
};

int received_getbuffer(PyObject* self, Py_buffer* view, int flags) {
  const state& types = types_of(self);
  return PyBuffer_FillInfo(view, self, types.received, types.received_size, 1, flags);
}

// ---- asyncio's own methods

PyObject* protocol_do_read(PyObject* self, PyObject*) { return none_if(do_read(types_of(self), self)); }

PyObject* do_read_copied(PyObject* self, PyObject*) {
  state& types = types_of(self);
  if (!has_plain_objects(types, protocol_of(self)))
    return by_asyncio(types, types.names.do_read_copied, self);
  return none_if(read_copied(types, self));
}

PyObject* protocol_process_outgoing(PyObject* self, PyObject*) {
  state& types = types_of(self);
  if (!has_plain_objects(types, protocol_of(self)))
    return by_asyncio(types, types.names.process_outgoing, self);
  return none_if(process_outgoing(types, self));
}

PyObject* write_appdata(PyObject* self, PyObject* pieces) {
  state& types = types_of(self);
  if (PyTuple_CheckExact(pieces) && PyTuple_GET_SIZE(pieces) == 1) {
    const int written = write_now(types, self, PyTuple_GET_ITEM(pieces, 0));
    if (written != 0) return none_if(written > 0);
  }
  return by_asyncio(types, types.names.write_appdata, self, pieces);
}

PyMethodDef protocol_methods[] = {
    {"get_buffer", get_buffer, METH_O, "Where the transport is to receive."},
    {"buffer_updated", buffer_updated, METH_O, "Takes what the transport received."},
    {"_do_read", protocol_do_read, METH_NOARGS, nullptr},
    {"_do_read__copied", do_read_copied, METH_NOARGS, nullptr},
    {"_process_outgoing", protocol_process_outgoing, METH_NOARGS, nullptr},
    {"_write_appdata", write_appdata, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

// ---- asyncio's fields

template <char protocol_object::* Flag>
PyObject* get_flag(PyObject* self, void*) {
  return PyBool_FromLong(protocol_of(self).*Flag);
}

template <char protocol_object::* Flag>
int set_flag(PyObject* self, PyObject* value, void*) {
  const int truth = value != nullptr ? PyObject_IsTrue(value) : 0;
  if (truth < 0) return -1;
  protocol_of(self).*Flag = static_cast<char>(truth);
  return 0;
}

template <char protocol_object::* Flag>
constexpr PyGetSetDef flag(const char* name) noexcept {
  return {name, get_flag<Flag>, set_flag<Flag>, nullptr, nullptr};
}

PyGetSetDef protocol_properties[] = {
    flag<&protocol_object::ssl_writing_paused>("_ssl_writing_paused"),
    flag<&protocol_object::ssl_reading_paused>("_ssl_reading_paused"),
    flag<&protocol_object::app_writing_paused>("_app_writing_paused"),
    flag<&protocol_object::app_reading_paused>("_app_reading_paused"),
    flag<&protocol_object::app_is_buffered>("_app_protocol_is_buffer"),
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef protocol_members[] = {
    {"_state", T_OBJECT, offsetof(protocol_object, state), 0, nullptr},
    {"_sslobj", T_OBJECT, offsetof(protocol_object, sslobj), 0, nullptr},
    {"_incoming", T_OBJECT, offsetof(protocol_object, incoming), 0, nullptr},
    {"_outgoing", T_OBJECT, offsetof(protocol_object, outgoing), 0, nullptr},
    {"_transport", T_OBJECT, offsetof(protocol_object, transport), 0, nullptr},
    {"_app_protocol", T_OBJECT, offsetof(protocol_object, app_protocol), 0, nullptr},
    {"_write_backlog", T_OBJECT, offsetof(protocol_object, write_backlog), 0, nullptr},
    {"_write_buffer_size", T_PYSSIZET, offsetof(protocol_object, write_buffer_size), 0, nullptr},
    {"_outgoing_high_water", T_PYSSIZET, offsetof(protocol_object, outgoing_high), 0, nullptr},
    {"_outgoing_low_water", T_PYSSIZET, offsetof(protocol_object, outgoing_low), 0, nullptr},
    {"_incoming_high_water", T_PYSSIZET, offsetof(protocol_object, incoming_high), 0, nullptr},
    {"_incoming_low_water", T_PYSSIZET, offsetof(protocol_object, incoming_low), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// ---- the transport, whose base has no fields: asyncio's class has slots, and keeps the protocol in its
// __dict__

PyObject* transport_write(PyObject* self, PyObject* data) {
  state& types = types_of(self);
  if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
    const py::ref name =
        py::ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(data)), "__name__"));
    return name ? PyErr_Format(PyExc_TypeError, "data: expecting a bytes-like instance, got %U", name.get())
                : nullptr;
  }
  const int any = PyObject_IsTrue(data);
  if (any <= 0) return none_if(any == 0);
  const py::ref protocol = py::ref::steal(PyObject_GetAttr(self, types.names.ssl_protocol.get()));
  if (!protocol) return nullptr;
  if (reinterpret_cast<PyObject*>(Py_TYPE(protocol.get())) == types.protocol.get()) {
    const int written = write_now(types, protocol.get(), data);
    if (written != 0) return none_if(written > 0);
  }
  const py::ref pieces = py::ref::steal(PyTuple_Pack(1, data));
  return none_if(pieces && call_method(protocol.get(), types.names.write_appdata, pieces.get()));
}

PyMethodDef transport_methods[] = {
    {"write", transport_write, METH_O, "Writes some data bytes to the transport."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

// A class has another version after each change of it or of its bases.
bool is_as_made(state& types, PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  if (reinterpret_cast<PyObject*>(type) != types.protocol.get() || protocol_of(self).has_own_methods != 0) {
    return false;
  }
  if (type->tp_version_tag != 0 && type->tp_version_tag == types.checked_version) return true;
  if (!has_native_methods(types)) return false;
  types.checked_version = type->tp_version_tag;
  return true;
}

bool take_received(state& types, PyObject* self, Py_ssize_t count) {
  if (!feed(types, self, count)) return false;
  const protocol_object& fields = protocol_of(self);
  if (is_in(fields, types.wrapped) && is_as_made(types, self)) return do_read(types, self);
  const py::ref* next = is_in(fields, types.wrapped)         ? &types.names.do_read
                        : is_in(fields, types.in_handshake)  ? &types.names.do_handshake
                        : is_in(fields, types.flushing)      ? &types.names.do_flush
                        : is_in(fields, types.shutting_down) ? &types.names.do_shutdown
                                                             : nullptr;
  return next == nullptr || call_method(self, *next);
}

py::ref make_received_type(PyObject* core) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("What was received for a TLS connection just now.")},
      {Py_bf_getbuffer, reinterpret_cast<void*>(received_getbuffer)},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = "triga._core.TlsReceived",
                      .basicsize = sizeof(received_object),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT,
                      .slots = slots};
  return py::ref::steal(PyType_FromModuleAndSpec(core, &spec, nullptr));
}

py::ref make_protocol_base(PyObject* core) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The native half of asyncio.sslproto.SSLProtocol.")},
      {Py_tp_new, reinterpret_cast<void*>(PyType_GenericNew)},
      {Py_tp_traverse, reinterpret_cast<void*>(protocol_traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(protocol_clear)},
      {Py_tp_setattro, reinterpret_cast<void*>(protocol_setattr)},
      {Py_tp_dealloc, reinterpret_cast<void*>(protocol_dealloc)},
      {Py_tp_methods, protocol_methods},
      {Py_tp_getset, protocol_properties},
      {Py_tp_members, protocol_members},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = "triga._core.TlsProtocolBase",
                      .basicsize = sizeof(protocol_object),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  return py::ref::steal(PyType_FromModuleAndSpec(core, &spec, nullptr));
}

py::ref make_transport_base(PyObject* core) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The native methods of asyncio.sslproto's transport.")},
      {Py_tp_methods, transport_methods},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = "triga._core.TlsTransportBase",
                      .basicsize = 0,
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  return py::ref::steal(PyType_FromModuleAndSpec(core, &spec, nullptr));
}

}  // namespace triga::tls
