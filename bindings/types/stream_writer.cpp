// SPDX-License-Identifier: MIT
// The native half of asyncio.StreamWriter: what runs for every message.
#include "bindings/types/stream_writer.h"

#include <structmember.h>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/types/stream_call.h"
#include "bindings/types/stream_coroutine.h"
#include "bindings/types/stream_protocol.h"
#include "bindings/types/stream_reader.h"
#include "bindings/types/stream_types.h"

namespace triga::streams {
namespace {

struct writer_object {
  PyObject_HEAD PyObject* transport;
  PyObject* protocol;
  PyObject* reader;
  PyObject* loop;
  PyObject* complete_future;  // asyncio's _complete_fut, made when somebody asks
};

writer_object& writer_of(PyObject* self) noexcept { return *reinterpret_cast<writer_object*>(self); }

// The native half of the writer's transport, or null if it is another's.
transports::transport* native_transport(PyObject* self) {
  PyObject* transport = writer_of(self).transport;
  const py::ref& native = state_of(Py_TYPE(self)).transports.type;
  return native && transport != nullptr && is_plain(native, transport) ? &transports::native_of(transport)
                                                                       : nullptr;
}

PyObject* missing_field(const char* name) {
  return PyErr_Format(PyExc_AttributeError, "'StreamWriter' object has no attribute '%s'", name);
}

// ---- life

int writer_init(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"transport", "protocol", "reader", "loop", nullptr};
  PyObject *transport = nullptr, *protocol = nullptr, *reader = nullptr, *loop = nullptr;
  if (PyArg_ParseTupleAndKeywords(args, keywords, "OOOO:StreamWriter", const_cast<char**>(names), &transport,
                                  &protocol, &reader, &loop) == 0) {
    return -1;
  }
  writer_object& writer = writer_of(self);
  Py_XSETREF(writer.transport, Py_NewRef(transport));
  Py_XSETREF(writer.protocol, Py_NewRef(protocol));
  const state& types = types_of(self);
  const int good =
      reader == Py_None || !types.asserts ? 1 : PyObject_IsInstance(reader, types.stock_reader.get());
  if (good == 0) PyErr_SetNone(PyExc_AssertionError);
  if (good <= 0) return -1;
  Py_XSETREF(writer.reader, Py_NewRef(reader));
  Py_XSETREF(writer.loop, Py_NewRef(loop));
  return 0;
}

int writer_traverse(PyObject* self, visitproc visit, void* arg) {
  writer_object& writer = writer_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(writer.transport);
  Py_VISIT(writer.protocol);
  Py_VISIT(writer.reader);
  Py_VISIT(writer.loop);
  Py_VISIT(writer.complete_future);
  return 0;
}

int writer_clear(PyObject* self) {
  writer_object& writer = writer_of(self);
  Py_CLEAR(writer.transport);
  Py_CLEAR(writer.protocol);
  Py_CLEAR(writer.reader);
  Py_CLEAR(writer.loop);
  Py_CLEAR(writer.complete_future);
  return 0;
}

void writer_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  writer_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- what goes to the transport

template <bool (transports::transport::*Native)(PyObject*), py::ref method_names::* Name>
PyObject* give_data(PyObject* self, PyObject* data) {
  PyObject* transport = writer_of(self).transport;
  if (transport == nullptr) return missing_field("_transport");
  const py::ref alive = py::ref::borrow(transport);
  if (transports::transport* native = native_transport(self)) {
    return (native->*Native)(data) ? Py_NewRef(Py_None) : nullptr;
  }
  if (!call_method(transport, types_of(self).names.*Name, data)) return nullptr;
  Py_RETURN_NONE;
}

template <py::ref method_names::* Name>
PyObject* ask_transport(PyObject* self, PyObject*) {
  const py::ref transport = py::ref::borrow(writer_of(self).transport);
  if (!transport) return missing_field("_transport");
  return call_method(transport.get(), types_of(self).names.*Name).release();
}

PyObject* get_extra_info(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"name", "default", nullptr};
  PyObject *name = nullptr, *otherwise = Py_None;
  if (PyArg_ParseTupleAndKeywords(args, keywords, "O|O:get_extra_info", const_cast<char**>(names), &name,
                                  &otherwise) == 0) {
    return nullptr;
  }
  const py::ref transport = py::ref::borrow(writer_of(self).transport);
  if (!transport) return missing_field("_transport");
  return call_method(transport.get(), types_of(self).names.get_extra_info, name, otherwise).release();
}

// ---- drain()

// The exception that the reader was given, as an exception; false also when looking for it failed.
bool reader_is_good(state& types, PyObject* reader) {
  if (reader == nullptr || reader == Py_None) return true;
  const py::ref exception = is_plain(types.reader, reader) ? py::ref::borrow(reader_of(reader).exception)
                                                           : call_method(reader, types.names.exception);
  if (!exception && PyErr_Occurred() == nullptr) return true;
  if (exception.get() == Py_None) return true;
  if (exception) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.get())), exception.get());
  return false;
}

int is_closing(PyObject* self) {
  if (const transports::transport* native = native_transport(self))
    return native->stream().is_closing() ? 1 : 0;
  return ask(writer_of(self).transport, types_of(self).names.is_closing);
}

// The protocol's part; see wait_for() for a null result.
PyObject* drain_protocol(coroutine_object& self, state& types, PyObject* protocol) {
  if (is_plain(types.protocol, protocol)) {
    const protocol_object& native = protocol_of(protocol);
    if (native.connection_lost == 0 && native.paused == 0) return Py_NewRef(Py_None);
  }
  const py::ref helper = call_method(protocol, types.names.drain_helper);
  if (helper) (void)wait_for(self, helper.get());
  return nullptr;
}

PyObject* advance_drain_of_protocol(coroutine_object& self);
constexpr coroutine_kind drain_of_protocol_kind = {"StreamWriter.drain", advance_drain_of_protocol, nullptr};
PyObject* advance_drained(coroutine_object&) { return Py_NewRef(Py_None); }
constexpr coroutine_kind drained_kind = {"StreamWriter.drain", advance_drained, nullptr};

PyObject* advance_drain_of_protocol(coroutine_object& self) {
  self.kind = &drained_kind;
  return drain_protocol(self, types_of(self.owner), writer_of(self.owner).protocol);
}

// A transport that is closing has its connection_lost() called before drain() goes on: a program that writes
// and drains in a loop would else never see the error.
PyObject* advance_drain(coroutine_object& self) {
  if (!reader_is_good(types_of(self.owner), writer_of(self.owner).reader)) return nullptr;
  const int closing = is_closing(self.owner);
  if (closing < 0) return nullptr;
  if (closing == 0) return advance_drain_of_protocol(self);
  self.kind = &drain_of_protocol_kind;
  yield_once(self);
  return nullptr;
}

constexpr coroutine_kind drain_kind = {"StreamWriter.drain", advance_drain, nullptr};

// ---- wait_closed()

PyObject* advance_wait_closed(coroutine_object& self) {
  if (self.resumed) Py_RETURN_NONE;
  const py::ref waiter =
      call_method(writer_of(self.owner).protocol, types_of(self.owner).names.get_close_waiter, self.owner);
  if (waiter) (void)wait_for(self, waiter.get());
  return nullptr;
}

constexpr coroutine_kind wait_closed_kind = {"StreamWriter.wait_closed", advance_wait_closed, nullptr};

template <const coroutine_kind& Kind>
PyObject* coroutine_of(PyObject* self, PyObject*) {
  if (writer_of(self).transport == nullptr) return missing_field("_transport");
  return make_coroutine(types_of(self).coroutine.type(), Kind, self);
}

PyMethodDef writer_methods[] = {
    {"write", give_data<&transports::transport::write, &method_names::write>, METH_O, "Writes bytes."},
    {"writelines", give_data<&transports::transport::writelines, &method_names::writelines>, METH_O,
     "Writes an iterable of bytes."},
    {"write_eof", ask_transport<&method_names::write_eof>, METH_NOARGS,
     "Closes the write end after what is buffered."},
    {"can_write_eof", ask_transport<&method_names::can_write_eof>, METH_NOARGS,
     "Whether write_eof() is supported."},
    {"close", ask_transport<&method_names::close>, METH_NOARGS, "Closes the stream and its socket."},
    {"is_closing", ask_transport<&method_names::is_closing>, METH_NOARGS,
     "True if the stream is closing or closed."},
    {"get_extra_info", py::as_method(get_extra_info), METH_VARARGS | METH_KEYWORDS,
     "Optional transport information."},
    {"drain", coroutine_of<drain_kind>, METH_NOARGS, "Waits until it is sensible to write more."},
    {"wait_closed", coroutine_of<wait_closed_kind>, METH_NOARGS, "Waits until the stream is closed."},
    {nullptr, nullptr, 0, nullptr},
};

PyObject* get_transport(PyObject* self, void*) {
  PyObject* transport = writer_of(self).transport;
  return transport != nullptr ? Py_NewRef(transport) : missing_field("_transport");
}

PyObject* get_complete_future(PyObject* self, void*) {
  writer_object& writer = writer_of(self);
  if (writer.complete_future != nullptr) return Py_NewRef(writer.complete_future);
  const method_names& names = types_of(self).names;
  py::ref future = call_method(writer.loop, names.create_future);
  if (!future || !call_method(future.get(), names.set_result, Py_None)) return nullptr;
  writer.complete_future = future.release();
  return Py_NewRef(writer.complete_future);
}

PyGetSetDef writer_properties[] = {
    {"transport", get_transport, nullptr, "The transport.", nullptr},
    {"_complete_fut", get_complete_future, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef writer_members[] = {
    {"_transport", T_OBJECT_EX, offsetof(writer_object, transport), 0, nullptr},
    {"_protocol", T_OBJECT_EX, offsetof(writer_object, protocol), 0, nullptr},
    {"_reader", T_OBJECT_EX, offsetof(writer_object, reader), 0, nullptr},
    {"_loop", T_OBJECT_EX, offsetof(writer_object, loop), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

}  // namespace

py::ref make_writer_base(PyObject* core) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The native half of asyncio.StreamWriter.")},
      {Py_tp_new, reinterpret_cast<void*>(PyType_GenericNew)},
      {Py_tp_init, reinterpret_cast<void*>(writer_init)},
      {Py_tp_traverse, reinterpret_cast<void*>(writer_traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(writer_clear)},
      {Py_tp_dealloc, reinterpret_cast<void*>(writer_dealloc)},
      {Py_tp_methods, writer_methods},
      {Py_tp_getset, writer_properties},
      {Py_tp_members, writer_members},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = "triga._core.StreamWriterBase",
                      .basicsize = sizeof(writer_object),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  return py::ref::steal(PyType_FromModuleAndSpec(core, &spec, nullptr));
}

}  // namespace triga::streams
