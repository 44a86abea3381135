// SPDX-License-Identifier: MIT
#include "runtime/proc/start_request.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>

#include "runtime/proc/message.h"

namespace triga::proc {
namespace {

struct sockets {
  unique_fd parent;
  unique_fd zygote;

  sockets() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) throw std::bad_alloc();
    parent.reset(ends[0]);
    zygote.reset(ends[1]);
  }
};

std::vector<unique_fd> files(std::size_t count) {
  std::vector<unique_fd> opened;
  for (std::size_t i = 0; i < count; ++i) opened.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return opened;
}

std::vector<int> numbers_of(const std::vector<unique_fd>& files) {
  std::vector<int> numbers;
  for (const unique_fd& each : files) numbers.push_back(each.get());
  return numbers;
}

bool same_file(int left, int right) {
  struct stat one{};
  struct stat other{};
  return fstat(left, &one) == 0 && fstat(right, &other) == 0 && one.st_ino == other.st_ino &&
         one.st_dev == other.st_dev;
}

TEST(StartRequest, ArrivesWithItsTraitsAndDescriptors) {
  const sockets ends;
  inherited_traits traits{};
  traits.ignored_signals = 0x1234;
  traits.niceness = 3;
  const auto given = files(3);
  ASSERT_EQ(send_request(ends.parent.get(), traits, numbers_of(given), std::vector{7, any_number, 0}), 0);
  auto got = receive_request(ends.zygote.get());
  ASSERT_TRUE(got);
  ASSERT_TRUE(got->traits.has_value());
  EXPECT_EQ(got->traits->ignored_signals, 0x1234U);
  EXPECT_EQ(got->traits->niceness, 3);
  EXPECT_EQ(got->targets, (std::vector{7, any_number, 0}));
  ASSERT_EQ(got->descriptors.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(same_file(got->descriptors[i].get(), given[i].get()));
    EXPECT_EQ(fcntl(got->descriptors[i].get(), F_GETFD), FD_CLOEXEC);
  }
}

TEST(StartRequest, ArrivesWithoutTraitsAndWithoutDescriptors) {
  const sockets ends;
  ASSERT_EQ(send_request(ends.parent.get(), std::nullopt, {}, {}), 0);
  auto got = receive_request(ends.zygote.get());
  ASSERT_TRUE(got);
  EXPECT_FALSE(got->traits.has_value());
  EXPECT_TRUE(got->descriptors.empty());
}

TEST(StartRequest, TakesMoreDescriptorsThanOneMessageHolds) {
  const sockets ends;
  const auto given = files(300);
  ASSERT_EQ(
      send_request(ends.parent.get(), std::nullopt, numbers_of(given), std::vector<int>(300, any_number)), 0);
  auto got = receive_request(ends.zygote.get());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->descriptors.size(), 300U);
}

TEST(StartRequest, RefusesTargetsThatCannotBe) {
  const sockets ends;
  const auto given = files(2);
  EXPECT_EQ(send_request(ends.parent.get(), std::nullopt, numbers_of(given), std::vector{5, 5}), EINVAL);
  EXPECT_EQ(send_request(ends.parent.get(), std::nullopt, numbers_of(given), std::vector{5, -2}), EINVAL);
  EXPECT_EQ(send_request(ends.parent.get(), std::nullopt, numbers_of(given), std::vector{5}), EINVAL);
}

TEST(StartRequest, EndOfTheConnectionIsAConnectionError) {
  sockets ends;
  ends.parent.reset();
  auto got = receive_request(ends.zygote.get());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), ECONNRESET);
}

// Every mutilation of a request is told from a request, and leaves no descriptor open.
TEST(StartRequest, NonsenseIsAProtocolErrorAndLeavesNoDescriptor) {
  const sockets ends;
  const sockets forger;
  const auto given = files(2);
  ASSERT_EQ(
      send_request(ends.parent.get(), inherited_traits{}, numbers_of(given), std::vector{9, any_number}), 0);
  std::array<std::byte, 4096> buffer{};
  auto original = receive_message(ends.zygote.get(), buffer);
  ASSERT_TRUE(original);
  const unique_fd before = unique_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::mt19937 random(20260101);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> bytes(buffer.begin(),
                                 buffer.begin() + static_cast<std::ptrdiff_t>(original->size));
    // The header's first sixteen bytes and the targets are what is checked; the traits between are plain
    // values.
    const bool cut = random() % 4 == 0;
    const std::size_t at = random() % 2 == 0 ? random() % 16 : bytes.size() - 1 - random() % 8;
    const auto value = static_cast<std::byte>(random());
    const bool changed = cut || bytes[at] != value;
    bytes[at] = value;
    if (cut) bytes.resize(random() % bytes.size());
    if (bytes.empty()) continue;
    ASSERT_EQ(send_message(forger.parent.get(), bytes, numbers_of(given)), 0);
    // A count that promises more is completed by nonsense, so that the reader is never left waiting.
    ASSERT_EQ(send_message(forger.parent.get(), std::array{std::byte{1}}, {}), 0);
    auto got = receive_request(forger.zygote.get());
    if (got) {
      EXPECT_TRUE(!changed || got->targets.size() == 2) << "round " << round;
    } else {
      ++refused;
      EXPECT_EQ(got.error(), EPROTO) << "round " << round;
    }
    while (recv(forger.zygote.get(), buffer.data() + 2048, 2048, MSG_DONTWAIT) > 0) {
    }
  }
  EXPECT_GT(refused, 1000);
  const unique_fd after = unique_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(after.get(), before.get() + 1) << "a refused request left a descriptor open";
}

TEST(StartAnswer, ArrivesAsPidAndPidfdOrAsTheError) {
  const sockets ends;
  const auto given = files(1);
  ASSERT_EQ(send_answer(ends.zygote.get(), 4711, given[0].get()), 0);
  auto got = receive_answer(ends.parent.get());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->pid, 4711);
  EXPECT_TRUE(same_file(got->pidfd.get(), given[0].get()));
  ASSERT_EQ(send_refusal(ends.zygote.get(), EAGAIN), 0);
  auto refused = receive_answer(ends.parent.get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), EAGAIN);
}

TEST(StartAnswer, OfAZygoteThatIsGoneIsAConnectionError) {
  sockets ends;
  ends.zygote.reset();
  auto got = receive_answer(ends.parent.get());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), ECONNRESET);
  EXPECT_EQ(send_request(ends.parent.get(), std::nullopt, {}, {}), EPIPE) << "and not a signal";
}

TEST(Order, CarriesTheSocketOfTheCloneAndNothingElseIsOne) {
  const sockets ends;
  const sockets clones;
  ASSERT_EQ(send_order(ends.parent.get(), clones.zygote.get()), 0);
  auto got = receive_order(ends.zygote.get());
  ASSERT_TRUE(got);
  ASSERT_EQ(send_request(got->get(), std::nullopt, {}, {}), 0);
  EXPECT_TRUE(receive_request(clones.parent.get())) << "what arrived is the other end of this socket";

  ASSERT_EQ(send_request(ends.parent.get(), std::nullopt, {}, {}), 0);
  EXPECT_EQ(receive_order(ends.zygote.get()).error(), EPROTO);
}

TEST(Order, ConnectionAtItsEndIsReported) {
  sockets ends;
  ends.parent.reset();
  EXPECT_EQ(receive_order(ends.zygote.get()).error(), ECONNRESET);
}

}  // namespace
}  // namespace triga::proc
