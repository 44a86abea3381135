// SPDX-License-Identifier: MIT
#include "runtime/net/address.h"

#include <gtest/gtest.h>

#include <string>

#include "runtime/base/unique_fd.h"

namespace triga::net {
namespace {

TEST(Address, NumericHostsAreReadAndWritten) {
  const auto four = address::ipv4("127.0.0.1", 80);
  ASSERT_TRUE(four);
  EXPECT_EQ(four->family(), AF_INET);
  EXPECT_EQ(four->host(), "127.0.0.1");
  EXPECT_EQ(four->port(), 80);
  const auto six = address::ipv6("fe80::1", 65535, 7, 3);
  ASSERT_TRUE(six);
  EXPECT_EQ(six->host(), "fe80::1");
  EXPECT_EQ(six->port(), 65535);
  EXPECT_EQ(six->flow_info(), 7U);
  EXPECT_EQ(six->scope(), 3U);
}

TEST(Address, NamesZonesAndOtherFamiliesTextsAreNoNumbers) {
  for (const char* host : {"localhost", "", "127.1", "1.2.3.4.5", "::1"})
    EXPECT_FALSE(address::ipv4(host, 1));
  for (const char* host : {"localhost", "", "fe80::1%lo", "127.0.0.1"})
    EXPECT_FALSE(address::ipv6(host, 1, 0, 0));
}

TEST(Address, AUnixPathHasToLeaveRoomForItsEnd) {
  const std::string longest(sizeof(sockaddr_un::sun_path) - 1, 'p');
  const auto path = address::unix_path(longest);
  ASSERT_TRUE(path);
  EXPECT_EQ(path->path(), longest);
  EXPECT_FALSE(address::unix_path(longest + 'p'));
}

TEST(Address, AnAbstractNameKeepsItsLeadingNulAndMayFillTheRoom) {
  std::string name(sizeof(sockaddr_un::sun_path), 'n');
  name.front() = '\0';
  const auto abstract = address::unix_path(name);
  ASSERT_TRUE(abstract);
  EXPECT_EQ(abstract->path(), name);
}

TEST(Address, WhatTheKernelFillsInIsRead) {
  const unique_fd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto any = address::ipv4("127.0.0.1", 0);
  ASSERT_TRUE(any);
  ASSERT_EQ(bind(fd.get(), any->get(), any->size()), 0);
  address name;
  ASSERT_EQ(getsockname(fd.get(), name.to_fill(), name.size_to_fill()), 0);
  EXPECT_EQ(name.host(), "127.0.0.1");
  EXPECT_NE(name.port(), 0);
  EXPECT_FALSE(name == *any);
}

TEST(Address, AnUnnamedUnixSocketHasAnEmptyPath) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const unique_fd one(pair[0]);
  const unique_fd other(pair[1]);
  address name;
  ASSERT_EQ(getpeername(one.get(), name.to_fill(), name.size_to_fill()), 0);
  EXPECT_EQ(name.family(), AF_UNIX);
  EXPECT_TRUE(name.path().empty());
}

}  // namespace
}  // namespace triga::net
