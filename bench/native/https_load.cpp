// SPDX-License-Identifier: MIT
// Loads a web server by TLS and tells what it cost the server, as echo_load does.
//
//   https_load PORT CONNECTIONS BODY REQUESTS SERVER-PID
//
// Each connection has one request for the page / under way; an answer has BODY bytes of body. The first tenth
// warms up and is not counted. The server's certificate is not looked at.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "openssl.h"
#include "server_usage.h"

namespace {

constexpr std::string_view request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

const auto ssl_set_fd = named<int(SSL*, int)>("SSL_set_fd");
const auto ssl_set_connect_state = named<void(SSL*)>("SSL_set_connect_state");
const auto ssl_get_error = named<int(const SSL*, int)>("SSL_get_error");

class connection {
 public:
  connection(SSL_CTX* context, int port) : ssl_(ssl_new(context)) {
    const int socket = check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
    const int yes = 1;
    check(setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), "setsockopt");
    require(ssl_set_fd(ssl_, socket) == 1, "SSL_set_fd");
    ssl_set_connect_state(ssl_);
    require(ssl_do_handshake(ssl_) == 1, "SSL_do_handshake");
    check(fcntl(socket, F_SETFL, O_NONBLOCK), "fcntl");
    socket_ = socket;
  }

  [[nodiscard]] int socket() const { return socket_; }
  [[nodiscard]] std::int64_t started() const { return started_; }

  void ask() {
    started_ = nanoseconds(CLOCK_MONOTONIC);
    answer_.clear();
    require(ssl_write(ssl_, request.data(), static_cast<int>(request.size())) > 0, "SSL_write");
  }

  // True when the whole answer is there: the head, which ends in an empty line, and the body.
  bool receive(std::size_t body) {
    constexpr int wants_read = 2;  // SSL_ERROR_WANT_READ
    std::array<char, 4096> piece;
    int got = 0;
    while ((got = ssl_read(ssl_, piece.data(), piece.size())) > 0) {
      answer_.append(piece.data(), static_cast<std::size_t>(got));
    }
    require(ssl_get_error(ssl_, got) == wants_read, "an answer of the server");
    const std::size_t head = answer_.find("\r\n\r\n");
    if (head == std::string::npos || answer_.size() < head + 4 + body) return false;
    require(answer_.starts_with("HTTP/1.1 200 "), "an answer with status 200");
    return true;
  }

 private:
  SSL* ssl_;
  int socket_ = -1;
  std::int64_t started_ = 0;
  std::string answer_;
};

class load {
 public:
  load(int port, int connections, std::size_t body)
      : body_(body), epoll_(check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
    SSL_CTX* const context = client_context();
    connections_.reserve(static_cast<std::size_t>(connections));
    for (int i = 0; i < connections; ++i) {
      connection& made = connections_.emplace_back(context, port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &made;
      check(epoll_ctl(epoll_, EPOLL_CTL_ADD, made.socket(), &event), "epoll_ctl");
      made.ask();
    }
  }

  // Runs until `until` answers are there in all, counted over calls; returns how many are.
  int run(int until) {
    std::array<epoll_event, 256> events;
    while (done_ < until) {
      const int ready =
          check(epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 10'000), "epoll_wait");
      require(ready != 0, "an answer of the server within ten seconds");
      for (int i = 0; i < ready; ++i) {
        auto& each = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (!each.receive(body_)) continue;
        latencies_.push_back(nanoseconds(CLOCK_MONOTONIC) - each.started());
        ++done_;
        each.ask();
      }
    }
    return done_;
  }

  [[nodiscard]] std::vector<std::int64_t>& latencies() { return latencies_; }

 private:
  std::vector<connection> connections_;
  std::vector<std::int64_t> latencies_;
  std::size_t body_;
  int epoll_;
  int done_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6)
    return std::fputs("usage: https_load PORT CONNECTIONS BODY REQUESTS SERVER-PID\n", stderr), 2;
  const int requests = std::atoi(argv[4]), server = std::atoi(argv[5]);
  load all(std::atoi(argv[1]), std::atoi(argv[2]), static_cast<std::size_t>(std::atol(argv[3])));
  const int warm_up = all.run(requests / 10);
  all.latencies().clear();
  const server_usage before = usage_of(server);
  const std::int64_t start = nanoseconds(CLOCK_MONOTONIC);
  const int counted = all.run(warm_up + requests) - warm_up;
  const std::int64_t wall = nanoseconds(CLOCK_MONOTONIC) - start;
  print_load(counted, wall, before, usage_of(server), all.latencies());
}
