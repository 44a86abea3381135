// SPDX-License-Identifier: MIT
// What get_extra_info() knows of a transport: made when somebody asks. A dict, a TransportSocket and two
// addresses are more memory than all the rest of an idle connection, and most are never looked at.
//
// asyncio takes the addresses down when the transport is made, since later there may be none to ask for. Here
// the peer's is taken down as the kernel gives it, and the socket's own, which does not change, when the
// socket is closed.
#include <algorithm>

#include "bindings/types/socket_address.h"
#include "bindings/types/stream_transport.h"

namespace triga::transports {
namespace {

bool set(PyObject* dict, const py::ref& name, const py::ref& value) {
  return value && PyDict_SetItem(dict, name.get(), value.get()) == 0;
}

// An address that the kernel does not tell (any more) is None.
py::ref or_none(const net::address& address, bool known) {
  return known ? sockets::to_python(address) : py::ref::borrow(Py_None);
}

}  // namespace

bool short_address::take(const net::address& address) noexcept {
  if (address.size() > bytes_.size() || address.empty()) return false;
  std::copy_n(reinterpret_cast<const std::byte*>(address.get()), address.size(), bytes_.begin());
  size_ = static_cast<std::uint8_t>(address.size());
  return true;
}

net::address short_address::get() const noexcept {
  net::address address;
  auto* into = reinterpret_cast<std::byte*>(address.to_fill());
  std::copy_n(bytes_.begin(), size_, into);
  *address.size_to_fill() = size_;
  return address;
}

bool short_address::is_of_internet() const noexcept {
  const int family = get().family();
  return family == AF_INET || family == AF_INET6;
}

// False: an exception is set.
// As asyncio, which asks the kernel only where a connection was not accepted.
bool transport::take_peer(const net::address& accepted_from) {
  peer_known_ = true;
  if (peer_.take(accepted_from)) return true;
  held().extra = py::ref::steal(PyDict_New());
  return held().extra && set(held().extra.get(), types_.names.peername, sockets::to_python(accepted_from)) &&
         describe();
}

bool transport::note_peer() {
  net::address address;
  sockaddr* where = address.to_fill();
  if (::getpeername(stream_.fd(), where, address.size_to_fill()) != 0) {
    peer_known_ = false;
    return true;
  }
  peer_known_ = true;
  // A long name, as a Unix socket may have, or one of another family is not kept in short.
  return peer_.take(address) || describe();
}

bool transport::note_own_name() {
  if (described_) return true;
  net::address address;
  sockaddr* where = address.to_fill();
  if (::getsockname(stream_.fd(), where, address.size_to_fill()) != 0) return true;
  return seldom().own.take(address) || describe();
}

bool transport::describe() {
  if (described_) return true;
  const py::ref known = held().extra ? held().extra : py::ref::steal(PyDict_New());
  if (!known) return false;
  const py::ref of = has_sock() ? sock() : closed_sock();
  if (!of) return PyErr_Occurred() == nullptr;
  const py::ref socket = py::ref::steal(PyObject_CallOneArg(types_.transport_socket.get(), of.get()));
  if (!set(known.get(), types_.names.socket, socket)) return false;
  if (!set(known.get(), types_.names.sockname, own_name())) return false;
  const int has_peer = PyDict_Contains(known.get(), types_.names.peername.get());
  if (has_peer < 0 || (has_peer == 0 && !set(known.get(), types_.names.peername, peer_name()))) return false;
  held().extra = known;
  described_ = true;
  return true;
}

py::ref transport::own_name() {
  if (seldom_ && !seldom_->own.empty()) return sockets::to_python(seldom_->own.get());
  if (!has_sock()) return py::ref::borrow(Py_None);
  return name_by(types_.names.getsockname, ::getsockname);
}

py::ref transport::peer_name() {
  if (!peer_.empty()) return sockets::to_python(peer_.get());
  if (!peer_known_ || !has_sock()) return py::ref::borrow(Py_None);
  return name_by(types_.names.getpeername, ::getpeername);
}

// Of a family that is not known here, the socket module has to read the address.
py::ref transport::name_by(const py::ref& method, int (*ask)(int, sockaddr*, socklen_t*)) {
  net::address address;
  sockaddr* where = address.to_fill();
  const bool known = ask(stream_.fd(), where, address.size_to_fill()) == 0;
  if (!known || sockets::knows_family(address.family())) return or_none(address, known);
  py::ref name = call_method(held().sock.get(), method);
  if (name || PyErr_ExceptionMatches(PyExc_OSError) == 0) return name;
  PyErr_Clear();
  return py::ref::borrow(Py_None);
}

}  // namespace triga::transports
