// SPDX-License-Identifier: MIT
// What a MiB through a loopback connection costs a program that has both ends and does nothing else: it sends
// PIECE bytes, receives them, and so on. The larger the piece, the more lies in the kernel before it is read.
//
//   stream_copy PIECE COUNT     COUNT times a MiB
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "common.h"

namespace {

constexpr std::size_t mebibyte = 1024 * 1024;
constexpr std::size_t most_per_read = 256 * 1024;  // as a loop reads

struct connection {
  int near, far;
};

connection connect_to_self() {
  const int listener = check(::socket(AF_INET, SOCK_STREAM, 0), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  check(::bind(listener, generic, size), "bind");
  check(::listen(listener, 1), "listen");
  check(::getsockname(listener, generic, &size), "getsockname");
  const int near = check(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
  if (::connect(near, generic, size) != 0 && errno != EINPROGRESS) fail("connect");
  const int far = check(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK), "accept4");
  close(listener);
  return {near, far};
}

// How many bytes the system call moved; none if it would block.
std::size_t moved(ssize_t count, const char* what) {
  if (count < 0 && errno != EAGAIN) fail(what);
  return static_cast<std::size_t>(std::max<ssize_t>(count, 0));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: stream_copy PIECE COUNT\n", stderr), 2;
  const auto piece = static_cast<std::size_t>(std::atoll(argv[1]));
  const int count = std::atoi(argv[2]);
  const std::vector<char> data(piece, 'x');
  std::vector<char> memory(most_per_read);
  const auto [near, far] = connect_to_self();
  const std::size_t all = mebibyte * static_cast<std::size_t>(count);
  const std::int64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  for (std::size_t sent = 0, received = 0; received < all;) {
    sent += moved(::send(near, data.data(), std::min(piece, all - sent), MSG_NOSIGNAL), "send");
    while (received < sent) {
      const std::size_t got = moved(::recv(far, memory.data(), memory.size(), 0), "recv");
      if (got == 0) break;  // the rest is under way
      received += got;
    }
  }
  print_result(count, nanoseconds(CLOCK_MONOTONIC) - wall, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}
