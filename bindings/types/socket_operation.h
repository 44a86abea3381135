// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "bindings/py/ref.h"
#include "bindings/types/address_cache.h"
#include "bindings/types/loop.h"
#include "runtime/base/unique_fd.h"

// The native sock_recv() and its kin: objects that are awaited like asyncio's own coroutines, of which each
// tries its system call first and waits for readiness only when the kernel has nothing.
namespace triga::transports {
struct state;
}

namespace triga::sockets {

enum class kind : std::uint8_t {
  recv,
  recv_into,
  recvfrom,
  recvfrom_into,
  sendall,
  sendto,
  accept,
  wait_writable,
};

struct method_names {
  py::ref create_future, done, set_result, fileno, gettimeout, sendto, recvfrom, recvfrom_into;
  py::ref datagram_received, error_received, peername, data_received, pipe_fd;
  py::ref sock, sock_fd, protocol_attribute, closing, loop, conn_lost, buffer, address, extra;
  py::ref high_water, pause_if_needed, resume_if_possible;  // of a pipe's write end
  py::ref watch_writable, unwatch_writable, write_failed, end_of_pipe;
  py::ref close;

  bool intern();
};

struct state {
  py::ref type;          // the operations
  py::ref socket_class;  // socket.socket: only of exactly this is it known that no method is overridden
  py::ref stock_loop;    // asyncio's loop class, whose methods serve every other socket
  py::ref family, socket_type, protocol;  // members of _socket.socket
  method_names names;
  py::ref stock_sendto;                       // of asyncio's datagram transport
  Py_ssize_t datagram_fields_at = 0;          // where an instance has what the native type adds to that
  py::ref stock_pipe_read, stock_pipe_write;  // of its pipe transports
  Py_ssize_t pipe_fields_at = 0;              // as datagram_fields_at, of a pipe's read end
  py::ref pipe_queue_type;
  address_cache addresses;
  const transports::state* transports = nullptr;  // the same interpreter's

  int traverse(visitproc visit_one, void* argument) const;
  void clear();

 private:
  [[nodiscard]] std::array<py::ref state::*, 10> objects() const noexcept;
};

// What one system call came to.
enum class attempt : std::uint8_t {
  done,         // the result is there
  would_block,  // the kernel has nothing now
  failed,       // an exception is set
};

enum class phase : std::uint8_t { created, running, waiting, finished };

struct operation_object {
  PyObject_HEAD PyObject* loop;
  PyObject* sock;
  PyObject* argument;   // what the method was given after the socket, and
  PyObject* argument2;  // after that; null if nothing
  PyObject* future;     // while it waits: what the task waits for
  PyObject* waiting;    // and that future's iterator
  PyObject* result;     // of a send that was completed while the task waited
  PyObject* weak_references;
  Py_buffer view;  // the memory to send or to receive into
  Py_ssize_t sent;
  int fd;
  int error;  // errno that ended a send while the task waited
  kind what;
  phase state;
  bool armed;  // it is the reader or writer of its descriptor's watch
};

[[nodiscard]] inline operation_object& operation(PyObject* self) noexcept {
  return *reinterpret_cast<operation_object*>(self);
}

[[nodiscard]] constexpr bool is_of_writer(kind what) noexcept {
  return what == kind::sendall || what == kind::sendto || what == kind::wait_writable;
}

// Makes the type of operations; called once for a module. Throws pybind11::error_already_set.
void make_type(PyObject* core);
PyObject* make(state& types, PyObject* loop, kind what, PyObject* sock, PyObject* argument,
               PyObject* argument2);

// Reads the arguments and the socket's descriptor, at the first step. False: an exception is set.
bool prepare(state& types, operation_object& self);
// Does the system call.
attempt try_once(state& types, operation_object& self, py::ref& result);

// Where all transports of the interpreter receive small reads: transports::most_per_read bytes.
[[nodiscard]] std::byte* read_memory(const state& types) noexcept;
// The family of a socket.socket; -1 with an exception set.
int family_of(const state& types, PyObject* sock);
// What socket(2) was told, as a socket.socket has it.
struct socket_parameters {
  int family;
  int type;
  int protocol;
};
// Nothing with an exception set.
std::optional<socket_parameters> parameters_of(const state& types, PyObject* sock);
// A socket.socket of a descriptor that is non-blocking, which it then owns. Null with an exception set.
py::ref new_socket(const state& types, const socket_parameters& parameters, int fd);
// A socket.socket that is closed already.
py::ref new_closed_socket(const state& types, const socket_parameters& parameters);
// accept4(2) of a listening socket. `failed`: errno tells why, and no exception is set.
attempt accept_descriptor(int listener, unique_fd& connection, net::address& from);

// Called by the descriptor's watch: it became ready, or somebody else waits for it now.
void on_ready(PyObject* self);
inline void on_superseded(PyObject* self) noexcept { operation(self).armed = false; }

extern PyMethodDef loop_methods[];  // of LoopBase; loop_sockets.cpp

}  // namespace triga::sockets
