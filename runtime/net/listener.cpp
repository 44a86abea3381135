// SPDX-License-Identifier: MIT
#include "runtime/net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstddef>

namespace triga::net {

// Of a listening socket TCP_INFO has little more than this, in fields that have other names: tcpi_unacked is
// the length of the queue (tcp_get_info() in net/ipv4/tcp.c).
std::optional<std::size_t> waiting_connections(int listener) noexcept {
  tcp_info info{};
  socklen_t size = offsetof(tcp_info, tcpi_unacked) + sizeof info.tcpi_unacked;
  if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state != TCP_LISTEN) {
    return std::nullopt;
  }
  return info.tcpi_unacked;
}

}  // namespace triga::net
