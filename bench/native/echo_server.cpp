// SPDX-License-Identifier: MIT
// The least that an echo server does: epoll, one thread, one read and one write a message. The floor of the
// echo rows.
//
//   echo_server tcp|udp|unix|accept PATH-FOR-UNIX: prints its port (or path), serves until stdin is closed.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string_view>

#include "common.h"

namespace {

int listen_unix(const char* path) {
  const int listener = check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  check(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  check(listen(listener, 1024), "listen");
  std::printf("%s\n", path);
  return listener;
}

int open_inet(int type) {
  const int descriptor = check(socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  check(bind(descriptor, reinterpret_cast<sockaddr*>(&address), length), "bind");
  if (type == SOCK_STREAM) check(listen(descriptor, 1024), "listen");
  check(getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
  std::printf("%d\n", ntohs(address.sin_port));
  return descriptor;
}

class server {
 public:
  server(int descriptor, std::string_view kind) : main_(descriptor), kind_(kind) {
    watch(main_);
    watch(STDIN_FILENO);
  }

  void serve() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int ready =
          check(epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1), "epoll_wait");
      for (int i = 0; i < ready; ++i) {
        const int descriptor = events[static_cast<std::size_t>(i)].data.fd;
        if (descriptor == STDIN_FILENO) return;
        if (descriptor != main_)
          echo(descriptor);
        else if (kind_ == "udp")
          echo_datagrams();
        else
          accept_all();
      }
    }
  }

 private:
  void watch(int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    check(epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      const int connection = accept4(main_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (connection < 0) return;
      if (kind_ == "accept") {
        close(connection);
        continue;
      }
      const int yes = 1;
      if (kind_ == "tcp") setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      watch(connection);
    }
  }

  void echo(int connection) {
    const ssize_t got = read(connection, buffer_.data(), buffer_.size());
    if (got == 0) close(connection);
    if (got > 0) write_all(connection, static_cast<std::size_t>(got));
  }

  // A client of this benchmark reads what it is owed, so a full socket buffer empties soon: sleep until then.
  void write_all(int connection, std::size_t size) {
    for (std::size_t sent = 0; sent < size;) {
      const ssize_t now = write(connection, buffer_.data() + sent, size - sent);
      if (now > 0)
        sent += static_cast<std::size_t>(now);
      else if (errno != EAGAIN || !wait_until_writable(connection))
        return;
    }
  }

  static bool wait_until_writable(int connection) {
    pollfd waiting{.fd = connection, .events = POLLOUT, .revents = 0};
    return poll(&waiting, 1, -1) == 1;
  }

  void echo_datagrams() {
    for (;;) {
      sockaddr_storage from{};
      socklen_t length = sizeof from;
      const ssize_t got =
          recvfrom(main_, buffer_.data(), buffer_.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (got < 0) return;
      sendto(main_, buffer_.data(), static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr*>(&from),
             length);
    }
  }

  int epoll_ = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int main_;
  std::string_view kind_;
  // Not where a page has just begun, as what malloc() maps does: some processors copy five times slower
  // there.
  alignas(4096) std::array<char, 256 * 1024> buffer_{};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("usage: echo_server tcp|udp|unix|accept [PATH]\n", stderr), 2;
  const std::string_view kind = argv[1];
  const int descriptor =
      kind == "unix" ? listen_unix(argv[2]) : open_inet(kind == "udp" ? SOCK_DGRAM : SOCK_STREAM);
  std::fflush(stdout);
  std::make_unique<server>(descriptor, kind)->serve();
}
