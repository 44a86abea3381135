// SPDX-License-Identifier: MIT
#include "runtime/net/stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/trace/counters.h"

namespace {

using namespace triga;
using triga::net::stream;
using triga::net::stream_sink;

void release_string(void* owner) noexcept { delete static_cast<std::string*>(owner); }

// A stream over one end of a connection, with an owner that writes down what it is told and can be given
// reactions.
class recorder final : public stream_sink {
 public:
  recorder(io::poller& poller, int fd) : connection(*this, release_string) { connection.attach(poller, fd); }

  void on_ready(std::uint32_t events) override {
    if (connection.should_read(events)) connection.read_ready();
    if (connection.should_flush(events)) connection.flush();
  }
  net::receive_space receive_into() override {
    return {std::span(memory_).first(room), std::span(memory_).subspan(room).first(room_behind)};
  }
  void received(std::size_t bytes) override {
    input.append(reinterpret_cast<const char*>(memory_.data()), bytes);
    if (on_received) on_received();
  }
  void received_eof() override {
    told.emplace_back("eof");
    (void)connection.stop_reading();
  }
  void read_failed(int error) override { fail("read", error); }
  void pause_writing() override { told.emplace_back("pause"); }
  void resume_writing() override {
    told.emplace_back("resume");
    if (on_resume) on_resume();
  }
  void write_failed(int error) override { fail("write", error); }
  void drained() override { told.emplace_back("drained"); }
  void half_close_failed(int error) override { fail("half close", error); }
  void closed() override { told.emplace_back("closed"); }

  // As a transport writes: at once what the kernel takes, the rest later.
  void write(std::string_view text) {
    std::size_t sent = 0;
    if (connection.queued_bytes() == 0) sent = connection.try_send(text.data(), text.size()).bytes;
    if (sent < text.size()) {
      auto* rest = new std::string(text.substr(sent));
      connection.enqueue(rest->data(), rest->size(), rest);
    }
    EXPECT_EQ(connection.watch_writable(), 0);
  }

  [[nodiscard]] bool was_told(const std::string& what) const {
    return std::find(told.begin(), told.end(), what) != told.end();
  }

  stream connection;
  std::string input;
  std::vector<std::string> told;
  std::function<void()> on_received, on_resume;
  std::size_t room = 4096, room_behind = 0;

 private:
  void fail(const char* what, int error) {
    told.push_back(std::string(what) + " " + std::to_string(error));
    (void)connection.abort();
  }

  std::array<std::byte, 4096> memory_{};
};

void make_non_blocking(int fd) { ASSERT_EQ(::fcntl(fd, F_SETFL, O_NONBLOCK), 0); }

void shrink_buffers(int fd) {
  const int size = 4096;
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

std::string receive_some(int fd, std::size_t most = 65536) {
  std::string text(most, '\0');
  const ssize_t count = ::recv(fd, text.data(), most, MSG_DONTWAIT);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

std::uint64_t counted(trace::counter which) { return trace::snapshot()[static_cast<std::size_t>(which)]; }

class Stream : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    near.reset(ends[0]);
    far.reset(ends[1]);
    for (const int fd : ends) {
      make_non_blocking(fd);
      shrink_buffers(fd);
    }
  }

  // One turn: everything that is ready now.
  void turn() {
    poller.begin_turn();
    ASSERT_TRUE(poller.wait(time_point::min()));
    poller.dispatch();
  }

  // Drains the far end and gives the near one turns until nothing moves any more.
  std::string drain() {
    std::string all;
    for (;;) {
      const std::string some = receive_some(far.get());
      all += some;
      turn();
      if (some.empty() && receive_some(far.get(), 0).empty()) {
        const std::string last = receive_some(far.get());
        if (last.empty()) return all;
        all += last;
      }
    }
  }

  io::poller poller = io::poller::make();
  unique_fd near, far;
};

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

// A stream whose kernel takes more at once than a turn's share.
class StreamShare : public Stream {
 protected:
  void SetUp() override {
    Stream::SetUp();
    const int size = 8 * 1024 * 1024;
    if (::setsockopt(near.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
      GTEST_SKIP() << "a socket's buffer cannot be larger than the system's limit here";
    }
    owner.connection.attach(poller, near.get());
    owner.connection.set_water_marks(64 * 1024, 16 * 1024);
    poller.begin_turn();
  }

  // What the far end has by now.
  std::size_t arrived() {
    std::size_t all = 0;
    for (std::string some = receive_some(far.get()); !some.empty(); some = receive_some(far.get())) {
      all += some.size();
    }
    return all;
  }

  static constexpr std::size_t share = stream::most_sent_per_turn;
  recorder owner{poller, -1};
};

TEST_F(StreamShare, IsWhatATurnSendsAndTheRestWaitsForTheNextUnwatched) {
  owner.write(std::string(2 * share + 1000, 'x'));
  EXPECT_EQ(arrived(), share);
  EXPECT_TRUE(owner.connection.waits_for_its_share());
  EXPECT_FALSE(owner.connection.is_registered());
  EXPECT_TRUE(owner.was_told("pause"));
  owner.connection.flush();  // still the same turn
  EXPECT_EQ(arrived(), 0U);
  turn();
  owner.connection.flush();
  EXPECT_EQ(arrived(), share);
  EXPECT_EQ(owner.connection.watch_writable(), 0);
  EXPECT_TRUE(owner.connection.waits_for_its_share());
  turn();
  owner.connection.flush();
  EXPECT_EQ(arrived(), 1000U);
  EXPECT_FALSE(owner.connection.waits_for_its_share());
  EXPECT_EQ(owner.told, (std::vector<std::string>{"pause", "resume", "drained"}));
}

TEST_F(StreamShare, IsOfAllThatIsWrittenInTheTurn) {
  for (int i = 0; i < 4; ++i) owner.write(std::string(share / 3, 'x'));
  EXPECT_EQ(arrived(), share);
  EXPECT_TRUE(owner.connection.waits_for_its_share());
}

TEST_F(StreamShare, IsWhatTheKernelTakesWhereNoOthersWait) {
  owner.write(std::string(4 * share, 'x'));
  EXPECT_EQ(arrived(), share);
  turn();
  owner.connection.flush(false);
  EXPECT_EQ(arrived(), 3 * share);
  owner.write("and it was this turn's");
  EXPECT_EQ(arrived(), 0U);
  EXPECT_TRUE(owner.connection.waits_for_its_share());
}

TEST_F(StreamShare, DoesNotHideThatTheKernelIsFull) {
  shrink_buffers(near.get());
  owner.write(std::string(2 * share, 'x'));
  EXPECT_FALSE(owner.connection.waits_for_its_share());
  EXPECT_EQ(poller.events_of(near.get()), EPOLLOUT);
  EXPECT_EQ(drain().size(), 2 * share);
}

TEST_F(StreamShare, IsNoLimitForWhatHasToLeaveNowAndFlushTellsOfThat) {
  owner.write(std::string(2 * share + 1000, 'x'));
  owner.connection.send_unheard();
  EXPECT_EQ(arrived(), 2 * share + 1000);
  EXPECT_EQ(owner.connection.queued_bytes(), 0U);
  EXPECT_EQ(owner.told, std::vector<std::string>{"pause"});
  EXPECT_FALSE(owner.connection.close());
  turn();
  owner.connection.flush();
  EXPECT_EQ(owner.told, (std::vector<std::string>{"pause", "resume", "closed"}));
  owner.connection.flush();
  EXPECT_EQ(owner.told.size(), 3U);
}

TEST_F(StreamShare, AFlushOfLaterWritesTellsOfWhatLeftBeforeThem) {
  owner.write(std::string(2 * share, 'x'));
  owner.connection.send_unheard();
  owner.write("more");
  turn();
  owner.connection.flush();
  EXPECT_EQ(arrived(), 2 * share + 4);
  EXPECT_EQ(owner.told, (std::vector<std::string>{"pause", "resume", "drained"}));
  EXPECT_TRUE(owner.connection.close());
}

TEST_F(StreamShare, AHalfCloseAfterAllHasLeftIsMadeOnce) {
  owner.write(std::string(2 * share, 'x'));
  owner.connection.send_unheard();
  EXPECT_EQ(owner.connection.shut_down_writing(), 0);
  EXPECT_EQ(arrived(), 2 * share);
  char byte = 0;
  EXPECT_EQ(::recv(far.get(), &byte, 1, 0), 0);
  owner.connection.flush();
  EXPECT_EQ(owner.told, (std::vector<std::string>{"pause", "resume"}));
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
