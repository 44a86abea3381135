// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <array>

#include "bindings/py/ref.h"

namespace triga::tls {

// Names of methods and attributes that are used, interned.
struct method_names {
  py::ref read, write, pending, inner;  // inner: ssl.SSLObject._sslobj, which is _ssl's own object
  py::ref do_handshake, do_flush, do_shutdown, do_read_buffered, do_read_copied, do_write, do_read;
  py::ref process_outgoing, write_appdata, control_app_writing, control_ssl_reading, get_buffer,
      buffer_updated;
  py::ref call_eof_received, start_shutdown, fatal_error, data_received, ssl_protocol;

  bool intern();
};

inline constexpr Py_ssize_t receive_size = 256 * 1024;  // asyncio's SSLProtocol.max_size

struct state {
  py::ref protocol_base, transport_base;  // the native halves
  py::ref protocol;                       // the whole class, made by triga._loop.tls
  py::ref stock_protocol;                 // asyncio.sslproto.SSLProtocol, whose methods do what is rare
  py::ref ssl_object, memory_bio;         // ssl.SSLObject and ssl.MemoryBIO
  // ssl.MemoryBIO's own, for objects of exactly that class; null where another class stands under its name.
  py::ref bio_pending, bio_read, bio_write;
  py::ref inner_object;  // _ssl._SSLSocket, and the same of its methods
  py::ref inner_read, inner_write;
  py::ref again_errors;                                    // a tuple: more of the peer's bytes are needed
  py::ref in_handshake, wrapped, flushing, shutting_down;  // members of sslproto.SSLProtocolState
  // Where native transports receive for every TLS connection of this interpreter, which owns it. The GIL is
  // held from the recv(2) until the bytes are in the connection's own MemoryBIO.
  py::ref received_view;
  char* received = nullptr;
  py::ref received_bytes;  // shows received[:received_size], to who takes them at once
  Py_ssize_t received_size = 0;
  // The version of the whole class in which its methods were last seen to be the native half's: see
  // is_as_made().
  unsigned int checked_version = 0;
  method_names names;

  int traverse(visitproc visit, void* arg) const;
  void clear();

 private:
  [[nodiscard]] std::array<py::ref state::*, 19> objects() const noexcept;
};

}  // namespace triga::tls
