// SPDX-License-Identifier: MIT
#include "runtime/proc/message_queue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace {

using namespace triga;
using namespace triga::proc;
using queue_status = message_queue::status;
using patience = message_queue::patience;

std::unique_ptr<message_queue> make(std::uint32_t most = UINT32_MAX, std::uint64_t most_bytes = 0) {
  message_queue::options wanted;
  wanted.most = most;
  wanted.ring_capacity = std::size_t{1} << 16U;
  wanted.most_bytes = most_bytes;
  return message_queue::create(wanted).value_or_throw("queue");
}

queue_status put(message_queue& queue, std::span<const std::byte> body, std::uint64_t sequence = 0) {
  const std::array<byte_span, 1> pieces{body};
  if (body.size() <= queue.inline_limit()) return queue.put_small(pieces, sequence, 1, patience::any);
  auto staged = queue.stage({.body = pieces, .buffers = {}}, sequence, 1).value_or_throw("stage");
  return queue.put(staged, patience::any);
}

TEST(MessageQueue, CarriesSmallAndLargeMessages) {
  const auto queue = make();
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, std::size_t{1} << 20U}) {
    const std::vector<std::byte> body(size, std::byte{42});
    ASSERT_EQ(put(*queue, body, size), queue_status::done);
    message got;
    ASSERT_EQ(queue->take(got, patience::any), queue_status::done);
    EXPECT_EQ(got.sequence, size);
    ASSERT_EQ(got.body_size(), size);
    std::vector<std::byte> copy(size);
    ASSERT_EQ(got.read_body(copy), 0);
    EXPECT_EQ(copy, body);
  }
}

TEST(MessageQueue, AnotherProcessAdoptsItByDescriptor) {
  const auto queue = make(5);
  ASSERT_EQ(put(*queue, {}, 77), queue_status::done);
  auto other = message_queue::adopt(unique_fd(::fcntl(queue->descriptor(), F_DUPFD_CLOEXEC, 3)))
                   .value_or_throw("adopt");
  EXPECT_EQ(other->most(), 5U);
  message got;
  ASSERT_EQ(other->take(got, patience::any), queue_status::done);
  EXPECT_EQ(got.sequence, 77U);
  EXPECT_TRUE(queue->empty());
}

TEST(MessageQueue, WhatIsNoQueueIsRefused) {
  auto other = shm::segment::create("no-queue", 1 << 20U).value_or_throw("segment");
  const auto adopted = message_queue::adopt(unique_fd(::fcntl(other.descriptor(), F_DUPFD_CLOEXEC, 3)));
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error(), EPROTO);
}

TEST(MessageQueue, IsFullAtItsBoundAndCountsWhatIsSetAside) {
  const auto queue = make(2);
  EXPECT_EQ(put(*queue, {}), queue_status::done);
  queue->set_aside();
  EXPECT_TRUE(queue->full());
  EXPECT_EQ(put(*queue, {}), queue_status::full);
  queue->drop_set_aside(1);
  EXPECT_EQ(put(*queue, {}), queue_status::done);
  EXPECT_EQ(queue->size(), 2U);
}

TEST(MessageQueue, LargePayloadsHaveABound) {
  const auto queue = make(UINT32_MAX, std::uint64_t{3} << 20U);
  const std::vector<std::byte> large(std::size_t{2} << 20U);
  EXPECT_TRUE(queue->has_space(large.size()));
  ASSERT_EQ(put(*queue, large), queue_status::done);
  EXPECT_FALSE(queue->has_space(large.size()));
  message got;
  ASSERT_EQ(queue->take(got, patience::any), queue_status::done);
  EXPECT_TRUE(queue->has_space(large.size()));
  // A message beyond the bound goes through alone: it could never go otherwise.
  EXPECT_TRUE(queue->has_space(std::uint64_t{100} << 20U));
}

TEST(MessageQueue, JoinWaitsForAllThatWasPut) {
  const auto queue = make();
  EXPECT_FALSE(queue->task_done());
  ASSERT_EQ(put(*queue, {}), queue_status::done);
  EXPECT_FALSE(queue->all_done());
  EXPECT_TRUE(queue->task_done());
  EXPECT_FALSE(queue->task_done());
  EXPECT_EQ(queue->await_all_done(never), queue_status::done);
}

TEST(MessageQueue, DescriptorIsReadableWhileThereIsAMessage) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const unique_fd reader(ends[0]);
  const unique_fd writer(ends[1]);
  const auto queue = make();
  queue->use_pipe(reader.get(), writer.get());
  const auto readable = [&] {
    pollfd watched{.fd = reader.get(), .events = POLLIN, .revents = 0};
    return ::poll(&watched, 1, 0) == 1;
  };
  ASSERT_EQ(put(*queue, {}), queue_status::done);
  EXPECT_FALSE(readable());  // nobody has asked
  queue->watch();
  EXPECT_TRUE(readable());
  ASSERT_EQ(put(*queue, {}), queue_status::done);
  message got;
  ASSERT_EQ(queue->take(got, patience::any), queue_status::done);
  EXPECT_TRUE(readable());
  ASSERT_EQ(queue->take(got, patience::any), queue_status::done);
  EXPECT_FALSE(readable());
}

TEST(MessageQueue, ReceiverLearnsThatNobodyIsLeft) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const unique_fd reader(ends[0]);
  unique_fd writer(ends[1]);
  const auto queue = make();
  queue->use_pipe(reader.get(), -1);
  writer.reset();
  queue_status ended = queue_status::done;
  while (ended == queue_status::done) ended = queue->await_item(never);
  EXPECT_EQ(ended, queue_status::hung_up);
}

// The mechanism: a sleeper that is killed may have been woken for a message that another should have taken.
TEST(MessageQueue, KilledReceiverDoesNotKeepAMessageFromTheOthers) {
  const auto queue = make();
  const auto sleeper = [&] {
    const pid_t child = fork();
    if (child == 0) {
      message got;
      while (queue->take(got, patience::any) != queue_status::done) queue->await_item(never);
      _exit(0);
    }
    return child;
  };
  for (int round = 0; round < 20; ++round) {
    const pid_t killed = sleeper();
    const pid_t other = sleeper();
    ASSERT_EQ(put(*queue, {}), queue_status::done);
    ::kill(killed, SIGKILL);
    int code = 0;
    ASSERT_EQ(waitpid(killed, &code, 0), killed);
    // If it was the one that took the message, the other gets the next.
    if (WIFEXITED(code) || queue->empty()) {
      ASSERT_EQ(put(*queue, {}), queue_status::done);
    }
    ASSERT_EQ(waitpid(other, &code, 0), other);
    EXPECT_TRUE(WIFEXITED(code));
    message left;
    while (queue->take(left, patience::any) == queue_status::done) {
    }
  }
}

}  // namespace
