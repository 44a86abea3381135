// SPDX-License-Identifier: MIT
// Loads an echo server and tells what it cost the server: its CPU time over the measured messages, from
// /proc.
//
//   echo_load tcp|udp|unix|http|accept|idle PORT-OR-PATH CONNECTIONS SIZE MESSAGES SERVER-PID
//
// Each connection has one message under way. The first tenth of the messages warms up and is not counted.
// "http" asks for the page / and waits for the whole answer, SIZE bytes of body; "accept" counts connections
// made and closed by the server, one at a time on each slot; "idle" counts nothing but the server's memory
// for connections that do nothing. The answer has the fields of bench/programs/meter.py, "cpu" being the
// server's, and more.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server_usage.h"

namespace {

struct connection {
  int descriptor = -1;
  std::size_t to_send = 0;
  std::size_t to_receive = 0;
  std::int64_t started = 0;
};

class load {
 public:
  load(char** arguments)
      : kind_(arguments[1]),
        target_(arguments[2]),
        connections_(static_cast<std::size_t>(std::atoi(arguments[3]))),
        answer_(static_cast<std::size_t>(std::atoi(arguments[4]))),
        messages_(std::atoi(arguments[5])),
        server_(std::atoi(arguments[6])),
        payload_(kind_ == "http" ? "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                 : std::string(std::max<std::size_t>(answer_, 1), 'x')) {
    latencies_.reserve(static_cast<std::size_t>(messages_));
  }

  void run() {
    if (kind_ == "idle") return measure_idle();
    if (kind_ == "http") answer_ = size_of_an_answer();
    for (auto& each : connections_) open(each);
    const int warm_up = messages_ / 10;
    echo(warm_up);
    latencies_.clear();
    const server_usage before = usage_of(server_);
    const std::int64_t start = nanoseconds(CLOCK_MONOTONIC);
    const int counted = echo(warm_up + messages_) - warm_up;
    const std::int64_t wall = nanoseconds(CLOCK_MONOTONIC) - start;
    print_load(counted, wall, before, usage_of(server_), latencies_);
  }

 private:
  int connect_to_target() {
    const int type = kind_ == "udp" ? SOCK_DGRAM : SOCK_STREAM;
    const int descriptor =
        check(socket(kind_ == "unix" ? AF_UNIX : AF_INET, type | SOCK_CLOEXEC, 0), "socket");
    if (kind_ == "unix") {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::strncpy(address.sun_path, target_.c_str(), sizeof address.sun_path - 1);
      check(connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
      return descriptor;
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(target_.c_str())));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
    const int yes = 1;
    if (type == SOCK_STREAM) setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return descriptor;
  }

  // Bytes of one whole answer, which all the others have too: the head, which ends in an empty line, and the
  // body.
  std::size_t size_of_an_answer() {
    const int descriptor = connect_to_target();
    check(send(descriptor, payload_.data(), payload_.size(), MSG_NOSIGNAL), "send");
    std::string answer;
    for (std::size_t head = std::string::npos;
         head == std::string::npos || answer.size() < head + 4 + answer_; head = answer.find("\r\n\r\n")) {
      const ssize_t got = check(recv(descriptor, buffer_.data(), buffer_.size(), 0), "recv");
      if (got == 0) fail("the server closed a connection");
      answer.append(buffer_.data(), static_cast<std::size_t>(got));
    }
    close(descriptor);
    if (!answer.starts_with("HTTP/1.1 200 ")) {
      errno = EPROTO;
      fail("an answer with status 200");
    }
    return answer.size();
  }

  void open(connection& each) {
    each.descriptor = connect_to_target();
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &each;
    check(epoll_ctl(epoll_, EPOLL_CTL_ADD, each.descriptor, &event), "epoll_ctl");
  }

  // Sends what the socket takes at once; the rest when the echo of it has come back, which empties the
  // socket.
  void send_some(connection& each) {
    while (each.to_send > 0) {
      const char* const rest = payload_.data() + (payload_.size() - each.to_send);
      const ssize_t sent = send(each.descriptor, rest, each.to_send, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) return;
      check(sent, "send");
      each.to_send -= static_cast<std::size_t>(sent);
    }
  }

  void begin(connection& each) {
    each.started = nanoseconds(CLOCK_MONOTONIC);
    if (kind_ == "accept") return;
    each.to_send = payload_.size();
    each.to_receive = answer_;
    send_some(each);
  }

  // True when this connection's message is complete.
  bool receive(connection& each) {
    const ssize_t got = recv(each.descriptor, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (kind_ == "accept") {
      // The server closed it: a new one takes its place.
      close(each.descriptor);
      open(each);
      return true;
    }
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) fail("the server closed a connection");
    each.to_receive -= std::min(each.to_receive, static_cast<std::size_t>(got));
    send_some(each);
    return each.to_receive == 0;
  }

  // Runs until `until` messages are complete in all, counted over calls; returns how many are.
  int echo(int until) {
    if (done_ == 0) {
      for (auto& each : connections_) begin(each);
    }
    std::array<epoll_event, 256> events;
    while (done_ < until) {
      const int ready =
          check(epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 10'000), "epoll_wait");
      if (ready == 0) {
        errno = ETIMEDOUT;
        fail("an answer of the server");
      }
      for (int i = 0; i < ready; ++i) {
        auto& each = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (!receive(each)) continue;
        latencies_.push_back(nanoseconds(CLOCK_MONOTONIC) - each.started);
        ++done_;
        begin(each);
      }
    }
    return done_;
  }

  // Memory comes in arenas and huge pages, of which the first and the last connection may just need one more:
  // so what a connection takes is the slope of the line through twenty measurements.
  void measure_idle() {
    constexpr std::size_t steps = 20;
    const server_usage before = usage_of(server_);
    double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
    for (std::size_t step = 0, from = 0; step < steps; ++step) {
      const std::size_t to = connections_.size() * (step + 1) / steps;
      const std::span some(connections_.data() + from, to - from);
      for (auto& each : some) each.descriptor = connect_to_target();
      // One byte there and back on each: the server has them all.
      for (auto& each : some) check(send(each.descriptor, "x", 1, MSG_NOSIGNAL), "send");
      for (auto& each : some) check(recv(each.descriptor, buffer_.data(), 1, MSG_WAITALL), "recv");
      const auto x = static_cast<double>(to);
      const auto y = static_cast<double>(usage_of(server_).resident - before.resident);
      sum_x += x, sum_y += y, sum_xx += x * x, sum_xy += x * y;
      from = to;
    }
    const double slope = (steps * sum_xy - sum_x * sum_y) / (steps * sum_xx - sum_x * sum_x);
    const auto count = static_cast<double>(connections_.size());
    std::printf("{\"operations\": %.0f, \"seconds\": 0, \"cpu\": %.9f, \"bytes\": %.0f}\n", count,
                static_cast<double>(usage_of(server_).cpu_ns - before.cpu_ns) / 1e9, slope * count);
  }

  std::string_view kind_;
  std::string target_;
  std::vector<connection> connections_;
  std::size_t answer_;
  int messages_;
  int server_;
  std::string payload_;
  // Not where a page has just begun, as what malloc() maps does: some processors copy five times slower
  // there.
  alignas(4096) std::array<char, 256 * 1024> buffer_{};
  std::vector<std::int64_t> latencies_;
  int epoll_ = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int done_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    return std::fputs("usage: echo_load KIND PORT-OR-PATH CONNECTIONS SIZE MESSAGES SERVER-PID\n", stderr), 2;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  std::make_unique<load>(argv)->run();
}
