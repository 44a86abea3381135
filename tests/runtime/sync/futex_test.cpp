// SPDX-License-Identifier: MIT
#include "runtime/sync/futex.h"

#include <gtest/gtest.h>

#include <thread>

namespace {

using namespace triga;
using namespace triga::sync;

TEST(Futex, ReturnsAtOnceWhenTheWordHasChanged) {
  futex_word word{1};
  EXPECT_EQ(futex_wait(word, 0, never), wait_status::woken);
}

TEST(Futex, ADeadlineInThePastTimesOut) {
  futex_word word{0};
  EXPECT_EQ(futex_wait(word, 0, deadline_after(nanoseconds(-1))), wait_status::timed_out);
}

TEST(Futex, AWakeEndsTheSleep) {
  futex_word word{0};
  std::thread waker([&] {
    word.store(1);
    futex_wake(word, 1);
  });
  while (word.load() == 0) futex_wait(word, 0, never);
  waker.join();
  EXPECT_EQ(word.load(), 1U);
}

}  // namespace
