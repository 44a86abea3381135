// SPDX-License-Identifier: MIT
#include "runtime/sync/spin.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "runtime/trace/counters.h"

namespace {

using namespace triga;
using namespace triga::sync;
using trace::counter;

std::uint64_t count_of(counter which) { return trace::snapshot()[static_cast<std::size_t>(which)]; }

// What a thread learns is its own: each test has a thread that has learned nothing yet.
template <class Body>
void on_a_new_thread(Body body) {
  std::thread(body).join();
}

// True if the wait began with a spin.
bool wait_in_vain(waiting_for what) {
  spin turn(what);
  while (turn.again()) {
  }
  return turn.began();
}

void wait_until_one_pays(waiting_for what) {
  const std::uint64_t before = count_of(counter::spins_paid);
  // Not always the first: this thread may lose its processor for longer than a spin is worth.
  while (count_of(counter::spins_paid) == before) {
    spin turn(what);
    if (turn.again()) turn.succeeded();
  }
}

TEST(Spin, IsLeftOutMoreAndMoreWhereItNeverPays) {
  on_a_new_thread([] {
    int begun = 0;
    for (int wait = 0; wait < 2048; ++wait) begun += wait_in_vain(waiting_for::future) ? 1 : 0;
    // 1, 3, 7 ... 127 waits without one, then 255 each time.
    EXPECT_GE(begun, 1);
    EXPECT_LE(begun, 16);
  });
}

TEST(Spin, OneThatPaysIsFollowedByAnother) {
  on_a_new_thread([] {
    for (int wait = 0; wait < 20; ++wait) wait_in_vain(waiting_for::future);
    wait_until_one_pays(waiting_for::future);
    EXPECT_TRUE(wait_in_vain(waiting_for::future));
    EXPECT_FALSE(wait_in_vain(waiting_for::future));
  });
}

TEST(Spin, EachKindOfWaitingIsLearnedApart) {
  on_a_new_thread([] {
    EXPECT_TRUE(wait_in_vain(waiting_for::task));
    EXPECT_FALSE(wait_in_vain(waiting_for::task));
    EXPECT_TRUE(wait_in_vain(waiting_for::notification));
  });
}

TEST(Spin, ItsTimeIsCounted) {
  on_a_new_thread([] {
    const std::uint64_t spins = count_of(counter::spins);
    const std::uint64_t time = count_of(counter::spin_nanoseconds);
    ASSERT_TRUE(wait_in_vain(waiting_for::job));
    EXPECT_EQ(count_of(counter::spins), spins + 1);
    EXPECT_GT(count_of(counter::spin_nanoseconds), time);
  });
}

TEST(Spin, SeesWhatAnotherThreadDoes) {
  on_a_new_thread([] {
    std::atomic<bool> happened{false};
    std::thread other([&] { happened = true; });
    bool seen = false;
    while (!seen) {
      spin turn(waiting_for::thread_end);
      while (!seen && turn.again()) seen = happened && turn.succeeded();
    }
    other.join();
  });
}

// The one that woke us holds the lock that we need next, and does not let go of it: sleeping would have been
// as good.
TEST(Spin, DoesNotPayWithoutTheHandover) {
  handover::released();
  on_a_new_thread([] {
    const std::uint64_t paid = count_of(counter::spins_paid);
    {
      spin turn(waiting_for::future);
      ASSERT_TRUE(turn.again());
      ASSERT_TRUE(turn.again());
      EXPECT_TRUE(turn.succeeded());
    }
    EXPECT_EQ(count_of(counter::spins_paid), paid);
    EXPECT_FALSE(wait_in_vain(waiting_for::future));
  });
}

// A thread lets go of the lock before it says that it is over. A look-out for the lock after that would wait
// for nothing, and would not have paid, so that the next joins would sleep at once.
TEST(Spin, AThreadsEndNeedsNoHandover) {
  handover::released();
  on_a_new_thread([] {
    const std::uint64_t paid = count_of(counter::spins_paid);
    while (count_of(counter::spins_paid) == paid) {  // unless the processor was away for too long
      spin turn(waiting_for::thread_end);
      if (turn.again() && turn.again()) turn.succeeded();
    }
  });
}

TEST(Spin, AHandoverBetweenTwoLooksIsNotMissed) {
  on_a_new_thread([] {
    for (;;) {
      const std::uint64_t paid = count_of(counter::spins_paid);
      {
        spin turn(waiting_for::future);
        if (!turn.again() || !turn.again()) continue;
        // After the look that saw nothing, and before the one that sees the event: both happened in between.
        handover::released();
        if (!turn.again()) continue;
        turn.succeeded();
      }
      if (count_of(counter::spins_paid) != paid) break;
    }
  });
}

}  // namespace
