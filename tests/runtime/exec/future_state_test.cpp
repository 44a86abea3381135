// SPDX-License-Identifier: MIT
#include "runtime/exec/future_state.h"

#include <gtest/gtest.h>

#include <thread>

namespace triga::exec {
namespace {

TEST(FutureState, FinishesOnceFromPendingOrRunning) {
  future_state direct;
  EXPECT_TRUE(direct.finish());
  EXPECT_FALSE(direct.finish());
  future_state ran;
  EXPECT_TRUE(ran.start());
  EXPECT_FALSE(ran.start());
  EXPECT_FALSE(ran.cancel());
  EXPECT_TRUE(ran.finish());
  EXPECT_EQ(ran.now(), progress::finished);
}

TEST(FutureState, CancelledIsDoneAndCannotFinish) {
  future_state state;
  EXPECT_TRUE(state.cancel());
  EXPECT_TRUE(state.done());
  EXPECT_FALSE(state.start());
  EXPECT_FALSE(state.finish());
  EXPECT_TRUE(state.notify_cancelled());
  EXPECT_FALSE(state.notify_cancelled());
  EXPECT_EQ(state.now(), progress::cancelled_and_notified);
}

TEST(FutureState, SleepEndsAtOnceWhenDone) {
  future_state state;
  state.finish();
  EXPECT_EQ(state.sleep_until_done(never), sync::wait_status::woken);
}

TEST(FutureState, SleepEndsAtTheDeadline) {
  future_state state;
  EXPECT_EQ(state.sleep_until_done(deadline_after(std::chrono::milliseconds(1))),
            sync::wait_status::timed_out);
  EXPECT_FALSE(state.done());
}

TEST(FutureState, WakesEverySleeperAndShowsTheResult) {
  for (int round = 0; round < 200; ++round) {
    future_state state;
    int result = 0;
    auto reader = [&] {
      while (!state.done()) state.sleep_until_done(never);
      EXPECT_EQ(result, 42);
    };
    std::thread first(reader);
    std::thread second(reader);
    state.start();
    result = 42;
    state.finish();
    first.join();
    second.join();
  }
}

TEST(FutureState, CancelWakesASleeper) {
  future_state state;
  std::thread sleeper([&] {
    while (!state.done()) state.sleep_until_done(never);
  });
  state.cancel();
  sleeper.join();
}

}  // namespace
}  // namespace triga::exec
