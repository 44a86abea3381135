// SPDX-License-Identifier: MIT
// A stream's share of a turn.
#include <sys/socket.h>

#include <string>
#include <vector>

#include "tests/runtime/net/stream_fixture.h"

namespace triga::net::stream_tests {
namespace {

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

TEST_F(StreamShare, AHalfCloseThatWaitedForTheShareIsMadeWhenAllLeavesNow) {
  owner.write(std::string(2 * share, 'x'));
  EXPECT_EQ(owner.connection.shut_down_writing(), 0);
  owner.connection.send_unheard();
  EXPECT_EQ(arrived(), 2 * share);
  char byte = 0;
  EXPECT_EQ(::recv(far.get(), &byte, 1, MSG_DONTWAIT), 0);
  owner.connection.flush();
  EXPECT_EQ(owner.told, (std::vector<std::string>{"pause", "resume"}));
}

TEST_F(StreamShare, NothingIsToBeToldOfAQueueThatLeftWithNobodyWaiting) {
  auto* text = new std::string("some");
  owner.connection.enqueue(text->data(), text->size(), text);
  const std::optional<send_outcome> sent = owner.connection.send_share();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->bytes, 4U);
  EXPECT_FALSE(owner.connection.has_to_tell(*sent));
  EXPECT_EQ(arrived(), 4U);
}

TEST_F(StreamShare, ThereIsMoreToTellOfAnErrorARestAndAnEnd) {
  const send_outcome all{.bytes = 1, .error = 0};
  EXPECT_FALSE(owner.connection.has_to_tell(all));
  EXPECT_TRUE(owner.connection.has_to_tell({.bytes = 0, .error = EPIPE}));
  owner.write(std::string(2 * share, 'x'));
  EXPECT_TRUE(owner.connection.has_to_tell(all));
  owner.connection.send_unheard();
  EXPECT_TRUE(owner.connection.has_to_tell(all));  // of the queue's end
  owner.connection.flush();
  EXPECT_FALSE(owner.connection.has_to_tell(all));
  EXPECT_EQ(owner.connection.shut_down_writing(), 0);
  EXPECT_TRUE(owner.connection.has_to_tell(all));
}

TEST_F(StreamShare, AnErrorIsToldAsItWasMetAlsoAfterAWhile) {
  auto* text = new std::string("some");
  far.reset();
  owner.connection.enqueue(text->data(), text->size(), text);
  const std::optional<send_outcome> sent = owner.connection.send_share();
  ASSERT_TRUE(sent);
  ASSERT_NE(sent->error, 0);
  EXPECT_EQ(owner.connection.queued_bytes(), 4U);
  owner.connection.tell(*sent);
  EXPECT_TRUE(owner.was_told("write " + std::to_string(sent->error)));
  EXPECT_EQ(owner.connection.queued_bytes(), 0U);
}

}  // namespace
}  // namespace triga::net::stream_tests
