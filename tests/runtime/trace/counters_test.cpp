// SPDX-License-Identifier: MIT
#include "runtime/trace/counters.h"

#include <gtest/gtest.h>

#include <thread>

namespace {

using triga::trace::count;
using triga::trace::counter;
using triga::trace::snapshot;

std::uint64_t value(counter which) { return snapshot()[static_cast<std::size_t>(which)]; }

TEST(Counters, KeepWhatAnEndedThreadCounted) {
  const std::uint64_t before = value(counter::tasks_run);
  std::thread([] { count(counter::tasks_run, 7); }).join();
  EXPECT_EQ(value(counter::tasks_run), before + 7);
}

TEST(Counters, SumOverLivingThreads) {
  const std::uint64_t before = value(counter::wakes);
  count(counter::wakes);
  count(counter::wakes, 2);
  EXPECT_EQ(value(counter::wakes), before + 3);
}

TEST(Counters, EachHasAName) {
  for (const auto name : triga::trace::counter_names) EXPECT_FALSE(name.empty());
}

}  // namespace
