// SPDX-License-Identifier: MIT
#include "runtime/net/listener.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <vector>

#include "runtime/base/unique_fd.h"

namespace triga::net {
namespace {

struct Listener : testing::Test {
  Listener() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket.get(), 10), 0);
    EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  }

  unique_fd connected() {
    unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return made;
  }

  unique_fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
};

TEST_F(Listener, TellsHowManyWait) {
  EXPECT_EQ(waiting_connections(socket.get()), 0);
  std::vector<unique_fd> clients;
  for (std::size_t count = 1; count <= 3; ++count) {
    clients.push_back(connected());
    EXPECT_EQ(waiting_connections(socket.get()), count);
  }
  const unique_fd accepted(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(waiting_connections(socket.get()), 2);
  EXPECT_EQ(waiting_connections(accepted.get()), std::nullopt);  // it does not listen
}

TEST(ListenerOfAnotherKind, IsNotKnown) {
  const unique_fd local(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(waiting_connections(local.get()), std::nullopt);
  EXPECT_EQ(waiting_connections(-1), std::nullopt);
}

}  // namespace
}  // namespace triga::net
