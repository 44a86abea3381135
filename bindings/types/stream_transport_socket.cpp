// SPDX-License-Identifier: MIT
// The transport's socket. Of a connection that was accepted its object is made when somebody asks for it: it
// would be a fifth of what an idle connection takes.
#include <unistd.h>

#include <limits>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/types/stream_transport.h"

namespace triga::transports {

bool transport::open(loops::core& core, PyObject* socket, PyObject* with_context) {
  const py::ref number = call_method(socket, types_.names.fileno);
  if (!number) return false;
  const int fd = PyObject_AsFileDescriptor(number.get());
  if (fd < 0) return false;
  held().sock = py::ref::borrow(socket);
  join(core, fd, with_context);
  if (!note_peer()) return false;
  if (peer_.is_of_internet()) stream_.set_no_delay();
  return true;
}

bool transport::knows(const sockets::socket_parameters& parameters) noexcept {
  constexpr int most = std::numeric_limits<std::uint8_t>::max();
  return parameters.type == SOCK_STREAM && parameters.family > 0 && parameters.family <= most &&
         parameters.protocol >= 0 && parameters.protocol <= most;
}

bool transport::open_accepted(loops::core& core, unique_fd connection,
                              const sockets::socket_parameters& parameters, PyObject* with_context,
                              const net::address& peer) {
  family_ = static_cast<std::uint8_t>(parameters.family);
  protocol_number_ = static_cast<std::uint8_t>(parameters.protocol);
  owns_descriptor_ = true;
  join(core, connection.release(), with_context);
  if (!take_peer(peer)) return false;
  if (peer_.is_of_internet()) stream_.set_no_delay();
  return true;
}

void transport::join(loops::core& core, int fd, PyObject* with_context) {
  core_ = &core;
  held().loop = py::ref::borrow(core.self());
  if (with_context != nullptr && with_context != Py_None) context_ = py::ref::borrow(with_context);
  stream_.attach(core.poller(), fd);
  core.transports().put(fd, self());
}

sockets::socket_parameters transport::parameters() const noexcept {
  return {.family = family_, .type = SOCK_STREAM, .protocol = protocol_number_};
}

py::ref transport::sock() {
  if (owns_descriptor_) {
    held().sock = sockets::new_socket(state_of(Py_TYPE(self())).sockets, parameters(), stream_.fd());
    owns_descriptor_ = !held().sock;
  }
  return held().sock;
}

bool transport::set_sock(PyObject* sock) {
  if (owns_descriptor_ && !this->sock()) return false;
  held().sock = py::ref::borrow(sock != Py_None ? sock : nullptr);
  return true;
}

void transport::close_owned_descriptor() noexcept {
  if (std::exchange(owns_descriptor_, false)) ::close(stream_.fd());
}

// As asyncio, by the object's own method. What that raises is left set.
void transport::close_sock() {
  close_owned_descriptor();
  if (held().sock) (void)call_method(held().sock.get(), types_.names.close);
}

py::ref transport::closed_sock() {
  if (PyObject* const closed = find(&seldom_held::closed_sock)) return py::ref::borrow(closed);
  return family_ != 0 ? sockets::new_closed_socket(state_of(Py_TYPE(self())).sockets, parameters())
                      : py::ref();
}

}  // namespace triga::transports
