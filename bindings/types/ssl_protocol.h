// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"
#include "bindings/types/stream_transport.h"
#include "bindings/types/tls_state.h"

// The native half of asyncio.sslproto.SSLProtocol: what runs for every message. The class (triga._loop.tls)
// derives from this and then from asyncio's own; handshake, shutdown, their timeouts and what else runs once
// a connection is asyncio's code. OpenSSL is driven through the ssl module's own objects, which hold the
// program's SSLContext: linking OpenSSL here would need its headers, and the same library in the same process
// as _ssl's.
namespace triga::tls {

struct protocol_object {
  PyObject_HEAD PyObject* state;  // asyncio's fields of the same names
  PyObject* sslobj;
  PyObject* incoming;
  PyObject* outgoing;
  PyObject* transport;
  PyObject* app_protocol;
  PyObject* write_backlog;
  Py_ssize_t write_buffer_size;
  Py_ssize_t outgoing_high, outgoing_low, incoming_high, incoming_low;
  char ssl_writing_paused;
  char ssl_reading_paused;
  char app_writing_paused;
  char app_reading_paused;
  char app_is_buffered;
  char has_own_methods;  // somebody gave this instance a method of its own
};

[[nodiscard]] inline protocol_object& protocol_of(PyObject* self) noexcept {
  return *reinterpret_cast<protocol_object*>(self);
}

// Are the connection's ssl objects the ssl module's own, so that what is inside of them can be called?
[[nodiscard]] bool has_plain_objects(const state& types, const protocol_object& self) noexcept;
[[nodiscard]] inline bool is_in(const protocol_object& self, const py::ref& wanted) noexcept {
  return self.state == wanted.get();
}

[[nodiscard]] inline bool is_plain_bio(const state& types, PyObject* bio) noexcept {
  return bio != nullptr && reinterpret_cast<PyObject*>(Py_TYPE(bio)) == types.memory_bio.get();
}

// A method of ssl's, without looking it up where the object's class is `known`; no `method`: it is not.
template <class... Arguments>
py::ref call_known(const py::ref& known, const py::ref& method, PyObject* object, const py::ref& name,
                   Arguments*... arguments) {
  if (!method || object == nullptr || reinterpret_cast<PyObject*>(Py_TYPE(object)) != known.get()) {
    return transports::call_method(object, name, arguments...);
  }
  PyObject* vector[] = {object, arguments...};
  return py::ref::steal(PyObject_Vectorcall(method.get(), vector, sizeof...(arguments) + 1, nullptr));
}

// Is this an instance of the whole class with no method overridden, neither in the class or one assigned to
// it nor in the instance? Then the native half may call its own methods as the functions that they are.
[[nodiscard]] bool is_as_made(state& types, PyObject* self);

// asyncio's own method, called on `self`.
template <class... Arguments>
PyObject* by_asyncio(const state& types, const py::ref& name, PyObject* self, Arguments*... arguments) {
  const py::ref method = py::ref::steal(PyObject_GetAttr(types.stock_protocol.get(), name.get()));
  return method ? PyObject_CallFunctionObjArgs(method.get(), self, arguments..., nullptr) : nullptr;
}

// From `except Exception`: the exception that is set ends the connection. False: it is none to be caught.
bool fatal(const state& types, PyObject* self);

// asyncio's methods of the same names; false or null: an exception is set.
bool do_read(state& types, PyObject* self);
// buffer_updated(), for a connection whose transport receives into types.received.
bool take_received(state& types, PyObject* self, Py_ssize_t count);
bool read_copied(state& types, PyObject* self);
bool process_outgoing(state& types, PyObject* self);
// Encrypts and sends one object if nothing stands before it: 1. 0: asyncio's own way has to be gone. -1: an
// exception.
int write_now(state& types, PyObject* self, PyObject* data);

// MemoryBIO.pending, or -1 with an exception set.
Py_ssize_t pending_bytes(const state& types, PyObject* memory_bio);

py::ref make_protocol_base(PyObject* core);
py::ref make_received_type(PyObject* core);
py::ref make_transport_base(PyObject* core);

}  // namespace triga::tls
