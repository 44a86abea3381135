// SPDX-License-Identifier: MIT
#include "runtime/net/stream.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "tests/runtime/net/stream_fixture.h"

namespace triga::net::stream_tests {
namespace {

TEST_F(Stream, WatchesNothingUntilAsked) {
  recorder owner(poller, near.get());
  EXPECT_FALSE(poller.watches(near.get()));
  EXPECT_EQ(owner.connection.start_reading(), 0);
  EXPECT_EQ(poller.events_of(near.get()), EPOLLIN);
}

TEST_F(Stream, DeliversWhatThePeerSent) {
  recorder owner(poller, near.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  const std::uint64_t before = counted(trace::counter::bytes_read);
  ASSERT_EQ(::send(far.get(), "hello", 5, 0), 5);
  turn();
  EXPECT_EQ(owner.input, "hello");
  EXPECT_EQ(counted(trace::counter::bytes_read), before + 5);
}

TEST_F(Stream, TellsTheRestNextTurnWhenTheOwnersMemoryIsShort) {
  recorder owner(poller, near.get());
  owner.room = 3;
  ASSERT_EQ(owner.connection.start_reading(), 0);
  ASSERT_EQ(::send(far.get(), "hello", 5, 0), 5);
  turn();
  EXPECT_EQ(owner.input, "hel");
  turn();
  EXPECT_EQ(owner.input, "hello");
}

TEST_F(Stream, ReceivesIntoTheRestWhatTheFirstMemoryHasNoRoomFor) {
  recorder owner(poller, near.get());
  owner.room = 3;
  owner.room_behind = 4;
  ASSERT_EQ(owner.connection.start_reading(), 0);
  ASSERT_EQ(::send(far.get(), "12", 2, 0), 2);
  turn();
  EXPECT_EQ(owner.input, "12");
  ASSERT_EQ(::send(far.get(), "3456789ab", 9, 0), 9);
  turn();
  EXPECT_EQ(owner.input, "123456789");
  turn();
  EXPECT_EQ(owner.input, "123456789ab");
  ASSERT_EQ(::shutdown(far.get(), SHUT_WR), 0);
  turn();
  EXPECT_TRUE(owner.was_told("eof"));
}

TEST_F(Stream, ReadsNothingWhileTheOwnerHasNoMemory) {
  recorder owner(poller, near.get());
  owner.room = 0;
  ASSERT_EQ(owner.connection.start_reading(), 0);
  ASSERT_EQ(::send(far.get(), "hello", 5, 0), 5);
  turn();
  EXPECT_EQ(owner.input, "");
  owner.room = 64;
  turn();
  EXPECT_EQ(owner.input, "hello");
}

TEST_F(Stream, PausingKeepsTheBytesInTheKernelAndTheDescriptorFree) {
  recorder owner(poller, near.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  ASSERT_EQ(owner.connection.stop_reading(), 0);
  EXPECT_FALSE(poller.watches(near.get()));
  ASSERT_EQ(::send(far.get(), "later", 5, 0), 5);
  turn();
  EXPECT_EQ(owner.input, "");
  ASSERT_EQ(owner.connection.start_reading(), 0);
  turn();
  EXPECT_EQ(owner.input, "later");
}

TEST_F(Stream, WritesAtOnceWithoutWatchingForWritability) {
  recorder owner(poller, near.get());
  const std::uint64_t before = counted(trace::counter::bytes_written);
  owner.write("at once");
  EXPECT_EQ(receive_some(far.get()), "at once");
  EXPECT_FALSE(poller.watches(near.get()));
  EXPECT_EQ(counted(trace::counter::bytes_written), before + 7);
}

TEST_F(Stream, ASlowReaderGetsEveryByteInOrder) {
  recorder owner(poller, near.get());
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = std::to_string(i) + ";";
    owner.write(text);
    expected += text;
  }
  EXPECT_GT(owner.connection.queued_bytes(), 0U);
  EXPECT_EQ(poller.events_of(near.get()), EPOLLOUT);
  EXPECT_EQ(drain(), expected);
  EXPECT_EQ(owner.told, std::vector<std::string>{"drained"});
  EXPECT_FALSE(poller.watches(near.get()));
}

TEST_F(Stream, PausesAboveTheHighMarkOnceAndResumesAtTheLowMark) {
  recorder owner(poller, near.get());
  owner.connection.set_water_marks(20000, 5000);
  owner.write(std::string(30000, 'x'));
  owner.write(std::string(30000, 'y'));
  EXPECT_EQ(owner.told, std::vector<std::string>{"pause"});
  EXPECT_EQ(drain().size(), 60000U);
  EXPECT_EQ(owner.told, (std::vector<std::string>{"pause", "resume", "drained"}));
}

TEST_F(Stream, WhatIsWrittenOnResumingIsSentBeforeTheQueueCountsAsDrained) {
  recorder owner(poller, near.get());
  owner.connection.set_water_marks(1000, 0);
  owner.on_resume = [&] {
    owner.on_resume = nullptr;
    owner.write(std::string(200000, 'b'));
  };
  owner.write(std::string(200000, 'a'));
  EXPECT_EQ(drain(), std::string(200000, 'a') + std::string(200000, 'b'));
  EXPECT_EQ(std::count(owner.told.begin(), owner.told.end(), "drained"), 1);
}

TEST_F(Stream, HalfCloseWaitsForTheQueueAndLeavesReadingOpen) {
  recorder owner(poller, near.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  owner.write(std::string(50000, 'x'));
  ASSERT_GT(owner.connection.queued_bytes(), 0U);
  EXPECT_EQ(owner.connection.shut_down_writing(), 0);
  EXPECT_EQ(drain().size(), 50000U);
  char byte = 0;
  EXPECT_EQ(::recv(far.get(), &byte, 1, 0), 0);  // FIN came after the last byte
  ASSERT_EQ(::send(far.get(), "answer", 6, 0), 6);
  turn();
  EXPECT_EQ(owner.input, "answer");
}

TEST_F(Stream, HalfCloseOfAnIdleStreamIsImmediate) {
  recorder owner(poller, near.get());
  EXPECT_EQ(owner.connection.shut_down_writing(), 0);
  char byte = 0;
  EXPECT_EQ(::recv(far.get(), &byte, 1, 0), 0);
}

TEST_F(Stream, CloseOfAnIdleStreamEndsItNow) {
  recorder owner(poller, near.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  EXPECT_TRUE(owner.connection.close());
  EXPECT_TRUE(owner.connection.has_ended());
  EXPECT_FALSE(poller.watches(near.get()));
  EXPECT_FALSE(owner.connection.close());
  EXPECT_FALSE(owner.connection.abort());
}

TEST_F(Stream, CloseSendsWhatIsQueuedFirstAndReadsNoMore) {
  recorder owner(poller, near.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  owner.write(std::string(50000, 'x'));
  ASSERT_EQ(::send(far.get(), "ignored", 7, 0), 7);
  EXPECT_FALSE(owner.connection.close());
  EXPECT_FALSE(owner.connection.has_ended());
  EXPECT_EQ(drain().size(), 50000U);
  EXPECT_EQ(owner.told, (std::vector<std::string>{"drained", "closed"}));
  EXPECT_EQ(owner.input, "");
  EXPECT_TRUE(owner.connection.has_ended());
}

TEST_F(Stream, AbortDropsTheQueueAndEndsOnce) {
  recorder owner(poller, near.get());
  owner.write(std::string(50000, 'x'));
  EXPECT_TRUE(owner.connection.abort());
  EXPECT_EQ(owner.connection.queued_bytes(), 0U);
  EXPECT_FALSE(poller.watches(near.get()));
  EXPECT_FALSE(owner.connection.abort());
  EXPECT_TRUE(owner.told.empty());
}

TEST_F(Stream, EndOfFileIsToldOnceWhenTheOwnerStopsReading) {
  recorder owner(poller, near.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  ASSERT_EQ(::shutdown(far.get(), SHUT_WR), 0);
  turn();
  turn();
  EXPECT_EQ(owner.told, std::vector<std::string>{"eof"});
}

TEST_F(Stream, APeerThatVanishesFailsTheQueuedWrite) {
  recorder owner(poller, near.get());
  owner.write(std::string(50000, 'x'));
  far.reset();
  turn();
  EXPECT_EQ(owner.told, std::vector<std::string>{"write " + std::to_string(EPIPE)});
  EXPECT_EQ(owner.connection.queued_bytes(), 0U);
  EXPECT_FALSE(poller.watches(near.get()));
}

TEST_F(Stream, AWriteToAVanishedPeerIsAnErrorAndNoSignal) {
  recorder owner(poller, near.get());
  far.reset();
  EXPECT_EQ(owner.connection.try_send("x", 1).error, EPIPE);
}

TEST_F(Stream, AbortWhileReadingLeavesTheQueuedWriteAlone) {
  recorder owner(poller, near.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  owner.write(std::string(50000, 'x'));
  while (!receive_some(far.get()).empty()) {
  }
  ASSERT_EQ(::send(far.get(), "stop", 4, 0), 4);
  owner.on_received = [&] { (void)owner.connection.abort(); };
  turn();  // both readable and writable
  EXPECT_EQ(owner.input, "stop");
  EXPECT_TRUE(receive_some(far.get()).empty());
}

TEST_F(Stream, SaysHowMuchCouldBeRead) {
  recorder owner(poller, near.get());
  EXPECT_EQ(owner.connection.readable_bytes(), 0U);
  ASSERT_EQ(::send(far.get(), "hello", 5, 0), 5);
  EXPECT_EQ(owner.connection.readable_bytes(), 5U);
}

TEST_F(Stream, ADestroyedStreamIsNotWatched) {
  {
    recorder owner(poller, near.get());
    ASSERT_EQ(owner.connection.start_reading(), 0);
  }
  EXPECT_FALSE(poller.watches(near.get()));
  ASSERT_EQ(::send(far.get(), "x", 1, 0), 1);
  turn();
}

TEST_F(Stream, WithoutAPollerItSaysSo) {
  recorder owner(poller, near.get());
  owner.connection.detach();
  EXPECT_EQ(owner.connection.start_reading(), EBADF);
  EXPECT_EQ(owner.connection.stop_reading(), 0);
}

// A TCP connection that the peer resets: RST needs TCP and unread data or a zero linger.
TEST(StreamOverTcp, AResetIsAReadErrorWithItsErrno) {
  const unique_fd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), generic, size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), generic, &size), 0);
  unique_fd client(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(::connect(client.get(), generic, size), 0);
  const unique_fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  ASSERT_TRUE(server);

  io::poller poller = io::poller::make();
  recorder owner(poller, server.get());
  ASSERT_EQ(owner.connection.start_reading(), 0);
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  client.reset();
  ASSERT_TRUE(poller.wait(deadline_after(std::chrono::seconds(10))));
  poller.dispatch();
  EXPECT_EQ(owner.told, std::vector<std::string>{"read " + std::to_string(ECONNRESET)});
  EXPECT_FALSE(poller.watches(server.get()));
}

}  // namespace
}  // namespace triga::net::stream_tests
