// SPDX-License-Identifier: MIT
// The system calls of socket operations.
//
// Every call has MSG_DONTWAIT: a socket that was left blocking cannot stop the loop. The GIL is kept, since
// none of them waits; see stream_transport_read.cpp.
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "bindings/types/socket_address.h"
#include "bindings/types/socket_operation.h"
#include "bindings/types/stream_transport.h"
#include "runtime/base/unique_fd.h"
#include "runtime/trace/counters.h"

namespace triga::sockets {
namespace {

using transports::most_per_read;

// From this size on the kernel is asked first how much there is, so that it goes straight into its bytes.
constexpr std::size_t large_read = 32 * 1024;

// Repeats a system call that a signal interrupted: with edge-triggered readiness nothing else would.
template <class Call>
ssize_t uninterrupted(Call system_call) {
  ssize_t done = 0;
  do {
    done = system_call();
  } while (done < 0 && errno == EINTR);
  return done;
}

attempt failure() {
  if (errno == EAGAIN || errno == EWOULDBLOCK) return attempt::would_block;
  PyErr_SetFromErrno(PyExc_OSError);
  return attempt::failed;
}

attempt done_if(const py::ref& result) { return result ? attempt::done : attempt::failed; }

ssize_t receive(const operation_object& op, void* into, std::size_t size) {
  const ssize_t count = uninterrupted([&] { return ::recv(op.fd, into, size, MSG_DONTWAIT); });
  if (count > 0) trace::count(trace::counter::bytes_read, static_cast<std::uint64_t>(count));
  return count;
}

ssize_t receive_from(const operation_object& op, void* into, std::size_t size, net::address& from) {
  const ssize_t count = uninterrupted([&] {
    sockaddr* where = from.to_fill();
    return ::recvfrom(op.fd, into, size, MSG_DONTWAIT, where, from.size_to_fill());
  });
  if (count > 0) trace::count(trace::counter::bytes_read, static_cast<std::uint64_t>(count));
  return count;
}

std::size_t readable_bytes(int fd) {
  int count = 0;
  return ::ioctl(fd, FIONREAD, &count) == 0 && count > 0 ? static_cast<std::size_t>(count) : 0;
}

py::ref new_bytes(const void* data, ssize_t size) {
  return py::ref::steal(PyBytes_FromStringAndSize(static_cast<const char*>(data), size));
}

// Receives into a bytes object of that size and cuts it to what came.
attempt receive_exactly(const operation_object& op, std::size_t size, py::ref& result) {
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (bytes == nullptr) return attempt::failed;
  const ssize_t count = receive(op, PyBytes_AS_STRING(bytes), size);
  if (count < 0) {
    Py_DECREF(bytes);
    return failure();
  }
  if (static_cast<std::size_t>(count) != size) _PyBytes_Resize(&bytes, count);
  result = py::ref::steal(bytes);
  return done_if(result);
}

attempt receive_bytes(state& types, operation_object& op, py::ref& result) {
  const auto size = static_cast<std::size_t>(op.sent);  // what prepare() read
  loops::descriptor_watch* watch = loops::core_of(op.loop).find_watch(op.fd);
  if (size > large_read && watch != nullptr && watch->last_received >= large_read) {
    const std::size_t waiting = readable_bytes(op.fd);
    if (waiting >= large_read) return receive_exactly(op, std::min(size, waiting), result);
  }
  if (size > most_per_read) return receive_exactly(op, size, result);
  const ssize_t count = receive(op, read_memory(types), size);
  if (count < 0) return failure();
  if (watch != nullptr) watch->last_received = static_cast<std::size_t>(count);
  result = new_bytes(read_memory(types), count);
  return done_if(result);
}

attempt receive_into(const operation_object& op, py::ref& result) {
  const ssize_t count = receive(op, op.view.buf, static_cast<std::size_t>(op.view.len));
  if (count < 0) return failure();
  result = py::ref::steal(PyLong_FromSsize_t(count));
  return done_if(result);
}

// A method of the socket itself, for families that are not known here. It raises to say that it would block.
attempt by_method(PyObject* called, py::ref& result) {
  result = py::ref::steal(called);
  if (result) return attempt::done;
  if (PyErr_ExceptionMatches(PyExc_BlockingIOError) == 0 &&
      PyErr_ExceptionMatches(PyExc_InterruptedError) == 0)
    return attempt::failed;
  PyErr_Clear();
  return attempt::would_block;
}

// One of _socket.socket's members, past the enum-making property of the class in front of it.
int member_of(const py::ref& descriptor, PyObject* sock) {
  const py::ref value =
      py::ref::steal(Py_TYPE(descriptor.get())
                         ->tp_descr_get(descriptor.get(), sock, reinterpret_cast<PyObject*>(Py_TYPE(sock))));
  return value ? static_cast<int>(PyLong_AsLong(value.get())) : -1;
}

attempt pair_with_address(const py::ref& first, const net::address& from, py::ref& result) {
  const py::ref address = first ? to_python(from) : py::ref();
  if (address) result = py::ref::steal(PyTuple_Pack(2, first.get(), address.get()));
  return done_if(result);
}

attempt receive_bytes_from(state& types, operation_object& op, py::ref& result) {
  const auto size = static_cast<std::size_t>(op.sent);
  if (!knows_family(family_of(types, op.sock)) || size > most_per_read) {
    return by_method(PyObject_CallMethodOneArg(op.sock, types.names.recvfrom.get(), op.argument), result);
  }
  net::address from;
  const ssize_t count = receive_from(op, read_memory(types), size, from);
  if (count < 0) return failure();
  return pair_with_address(new_bytes(read_memory(types), count), from, result);
}

attempt receive_into_from(state& types, operation_object& op, py::ref& result) {
  if (!knows_family(family_of(types, op.sock))) {
    const py::ref size = py::ref::steal(PyLong_FromSsize_t(op.sent));
    return by_method(size ? PyObject_CallMethodObjArgs(op.sock, types.names.recvfrom_into.get(), op.argument,
                                                       size.get(), nullptr)
                          : nullptr,
                     result);
  }
  net::address from;
  const ssize_t count = receive_from(op, op.view.buf, static_cast<std::size_t>(op.sent), from);
  if (count < 0) return failure();
  return pair_with_address(py::ref::steal(PyLong_FromSsize_t(count)), from, result);
}

// Until all is sent or the kernel takes no more. The error is kept for the task, as this may run while it
// waits.
attempt send_all(operation_object& op, py::ref& result) {
  const auto* start = static_cast<const std::byte*>(op.view.buf);
  do {
    const auto left = static_cast<std::size_t>(op.view.len - op.sent);
    const ssize_t count =
        uninterrupted([&] { return ::send(op.fd, start + op.sent, left, MSG_NOSIGNAL | MSG_DONTWAIT); });
    if (count < 0) {
      const int error = errno;
      const attempt outcome = failure();
      if (outcome == attempt::failed) op.error = error;
      return outcome;
    }
    trace::count(trace::counter::bytes_written, static_cast<std::uint64_t>(count));
    op.sent += count;
  } while (op.sent < op.view.len);
  result = py::ref::borrow(Py_None);
  return attempt::done;
}

attempt send_to(state& types, operation_object& op, py::ref& result) {
  net::address to;
  switch (from_python(family_of(types, op.sock), op.argument2, to)) {
    case parsed::failed:
      return attempt::failed;
    case parsed::no:
      return by_method(
          PyObject_CallMethodObjArgs(op.sock, types.names.sendto.get(), op.argument, op.argument2, nullptr),
          result);
    case parsed::yes:
      break;
  }
  const ssize_t count = uninterrupted([&] {
    return ::sendto(op.fd, op.view.buf, static_cast<std::size_t>(op.view.len), MSG_NOSIGNAL | MSG_DONTWAIT,
                    to.get(), to.size());
  });
  if (count < 0) return failure();
  trace::count(trace::counter::bytes_written, static_cast<std::uint64_t>(count));
  result = py::ref::steal(PyLong_FromSsize_t(count));
  return done_if(result);
}

attempt accept_one(const state& types, const operation_object& op, py::ref& result) {
  unique_fd accepted;
  net::address from;
  if (const attempt outcome = accept_descriptor(op.fd, accepted, from); outcome != attempt::done) {
    if (outcome == attempt::failed) PyErr_SetFromErrno(PyExc_OSError);
    return outcome;
  }
  const auto parameters = parameters_of(types, op.sock);
  const py::ref connection = parameters ? new_socket(types, *parameters, accepted.get()) : py::ref();
  if (connection) (void)accepted.release();
  return pair_with_address(connection, from, result);
}

}  // namespace

std::byte* read_memory(const state& types) noexcept { return types.transports->read_memory->bytes.data(); }

int family_of(const state& types, PyObject* sock) { return member_of(types.family, sock); }

std::optional<socket_parameters> parameters_of(const state& types, PyObject* sock) {
  const socket_parameters found{.family = member_of(types.family, sock),
                                .type = member_of(types.socket_type, sock),
                                .protocol = member_of(types.protocol, sock)};
  if (PyErr_Occurred() != nullptr) return std::nullopt;
  return found;
}

// SOCK_NONBLOCK in the type spares the system calls by which setblocking(False) would say the same.
py::ref new_socket(const state& types, const socket_parameters& parameters, int fd) {
  return py::ref::steal(PyObject_CallFunction(types.socket_class.get(), "iiii", parameters.family,
                                              parameters.type | SOCK_NONBLOCK, parameters.protocol, fd));
}

py::ref new_closed_socket(const state& types, const socket_parameters& parameters) {
  py::ref made = py::ref::steal(PyObject_CallFunction(types.socket_class.get(), "iii", parameters.family,
                                                      parameters.type, parameters.protocol));
  if (!made || !py::ref::steal(PyObject_CallMethodNoArgs(made.get(), types.names.close.get()))) return {};
  return made;
}

attempt accept_descriptor(int listener, unique_fd& connection, net::address& from) {
  connection.reset(static_cast<int>(uninterrupted([&] {
    sockaddr* where = from.to_fill();
    return ::accept4(listener, where, from.size_to_fill(), SOCK_NONBLOCK | SOCK_CLOEXEC);
  })));
  if (connection) {
    trace::count(trace::counter::sockets_accepted);
    return attempt::done;
  }
  return errno == EAGAIN || errno == EWOULDBLOCK ? attempt::would_block : attempt::failed;
}

attempt try_once(state& types, operation_object& op, py::ref& result) {
  switch (op.what) {
    case kind::recv:
      return receive_bytes(types, op, result);
    case kind::recv_into:
      return receive_into(op, result);
    case kind::recvfrom:
      return receive_bytes_from(types, op, result);
    case kind::recvfrom_into:
      return receive_into_from(types, op, result);
    case kind::sendall:
      return send_all(op, result);
    case kind::sendto:
      return send_to(types, op, result);
    case kind::accept:
      return accept_one(types, op, result);
    case kind::wait_writable:
      break;
  }
  return attempt::would_block;
}

}  // namespace triga::sockets
