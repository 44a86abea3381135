// SPDX-License-Identifier: MIT
#include "runtime/exec/range_loop.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "runtime/exec/crew.h"

namespace triga::exec {
namespace {

TEST(RangeLoop, HandsOutEveryIndexOnceInChunks) {
  range_loop loop(10, 4);
  index_range range;
  std::vector<std::uint64_t> ends;
  std::uint64_t next = 0;
  while (loop.next(range)) {
    EXPECT_EQ(range.begin, next);
    next = range.end;
    ends.push_back(range.end);
  }
  EXPECT_EQ(ends, (std::vector<std::uint64_t>{4, 8, 10}));
}

TEST(RangeLoop, GuidedRangesShrinkAndCoverEverything) {
  range_loop loop(100'000, 0);
  loop.expect_threads(4);
  index_range range;
  std::uint64_t next = 0;
  std::uint64_t last_size = 100'000;
  while (loop.next(range)) {
    EXPECT_EQ(range.begin, next);
    next = range.end;
    EXPECT_LE(range.end - range.begin, last_size);
    last_size = range.end - range.begin;
  }
  EXPECT_EQ(next, 100'000U);
  EXPECT_LE(last_size, 100'000U / 4096);
}

TEST(RangeLoop, IsEmptyForNothingAndOnceStopped) {
  index_range range;
  range_loop none(0, 0);
  EXPECT_FALSE(none.next(range));
  range_loop loop(10, 1);
  EXPECT_TRUE(loop.next(range));
  loop.stop();
  EXPECT_TRUE(loop.stopped());
  EXPECT_FALSE(loop.next(range));
}

TEST(Crew, SharesALoopAndIsGoneAfterDismissal) {
  constexpr std::size_t n = 20'000;
  std::vector<int> times(n);
  range_loop loop(n, 0);
  loop.expect_threads(3);
  const auto take_part = [&] {
    index_range range;
    while (loop.next(range)) {
      for (std::uint64_t i = range.begin; i < range.end; ++i) ++times[i];
    }
  };
  crew helpers(take_part);
  EXPECT_EQ(helpers.summon(2), 2U);
  take_part();
  EXPECT_TRUE(helpers.dismiss());
  EXPECT_EQ(times, std::vector<int>(n, 1));
}

// Whoever comes after the dismissal must not touch what the crew's owner has destroyed by then.
TEST(Crew, LateHelpersTouchNothing) {
  for (int round = 0; round < 200; ++round) {
    auto value = std::make_unique<std::atomic<int>>(0);
    crew helpers([&] { value->fetch_add(1); });
    helpers.summon(2);
    helpers.dismiss();
    value.reset();
  }
}

TEST(Crew, DismissalGivesUpAtItsDeadlineAndCanBeWaitedForAgain) {
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  crew helpers([&] {
    inside = true;
    while (!go_on) std::this_thread::yield();
  });
  ASSERT_EQ(helpers.summon(1), 1U);
  while (!inside) std::this_thread::yield();
  EXPECT_FALSE(helpers.dismiss(deadline_after(std::chrono::milliseconds(1))));
  go_on = true;
  EXPECT_TRUE(helpers.dismiss());
}

}  // namespace
}  // namespace triga::exec
