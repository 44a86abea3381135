// SPDX-License-Identifier: MIT
#include "runtime/loop/timer_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace triga::loop {
namespace {

time_point at(int moment) { return time_point(nanoseconds(moment)); }

struct heap_of_numbers : timer_heap<int> {
  std::set<int> cancelled;
  std::vector<int> dropped;

  void cancel(int timer) {
    cancelled.insert(timer);
    note_cancelled();
  }
  time_point deadline() {
    return next_deadline([this](int timer) { return cancelled.contains(timer); },
                         [this](int timer) { dropped.push_back(timer); });
  }
};

TEST(TimerHeap, FiresInOrderOfDeadline) {
  heap_of_numbers heap;
  for (const int when : {5, 1, 4, 2, 3}) heap.push(at(when), when);
  for (int expected = 1; expected <= 5; ++expected) EXPECT_EQ(heap.take_first(), expected);
  EXPECT_TRUE(heap.empty());
}

TEST(TimerHeap, FiresEqualDeadlinesInInsertionOrder) {
  heap_of_numbers heap;
  for (int timer = 0; timer < 1000; ++timer) heap.push(at(7), timer);
  for (int timer = 0; timer < 1000; ++timer) ASSERT_EQ(heap.take_first(), timer);
}

TEST(TimerHeap, IsDueAtItsDeadlineAndNotBefore) {
  heap_of_numbers heap;
  EXPECT_FALSE(heap.due(never));
  heap.push(at(10), 1);
  EXPECT_FALSE(heap.due(at(9)));
  EXPECT_TRUE(heap.due(at(10)));
}

TEST(TimerHeap, TheNextDeadlineIsTheFirstLiveTimers) {
  heap_of_numbers heap;
  EXPECT_EQ(heap.deadline(), never);
  for (int timer = 1; timer <= 3; ++timer) heap.push(at(timer), timer);
  heap.cancel(1);
  heap.cancel(3);
  EXPECT_EQ(heap.deadline(), at(2));
  EXPECT_EQ(heap.dropped, std::vector<int>{1});
  EXPECT_EQ(heap.dead(), 1u);
  EXPECT_EQ(heap.size(), 2u);
}

TEST(TimerHeap, ThrowsTheDeadOutOnceTheyAreMostOfIt) {
  heap_of_numbers heap;
  for (int timer = 0; timer < 300; ++timer) heap.push(at(timer), timer);
  for (int timer = 150; timer < 300; ++timer) heap.cancel(timer);
  heap.deadline();
  EXPECT_EQ(heap.size(), 300u) << "half is not most";
  heap.cancel(149);
  EXPECT_EQ(heap.deadline(), at(0));
  EXPECT_EQ(heap.size(), 149u);
  EXPECT_EQ(heap.dropped.size(), 151u);
  EXPECT_EQ(heap.dead(), 0u);
}

TEST(TimerHeap, ClearGivesEverythingBackEvenIfThatAddsATimer) {
  heap_of_numbers heap;
  heap.push(at(1), 1);
  heap.push(at(2), 2);
  int dropped = 0;
  heap.clear([&](int) {
    if (++dropped == 1) heap.push(at(3), 3);
  });
  EXPECT_EQ(dropped, 2);
  EXPECT_EQ(heap.size(), 1u);
}

// Against a sorted list, with a seed: pushes, cancels and takes in random order.
TEST(TimerHeap, AgreesWithASortedList) {
  std::mt19937 random(20);
  heap_of_numbers heap;
  std::vector<std::pair<int, int>> model;  // deadline, timer
  for (int timer = 0; timer < 20000; ++timer) {
    const int when = static_cast<int>(random() % 1000);
    heap.push(at(when), timer);
    model.emplace_back(when, timer);
    if (random() % 2 == 0) {
      const auto victim = model.begin() + static_cast<std::ptrdiff_t>(random() % model.size());
      heap.cancel(victim->second);
      model.erase(victim);
    }
    const auto first = std::min_element(model.begin(), model.end());
    ASSERT_EQ(heap.deadline(), first == model.end() ? never : at(first->first));
    if (first != model.end() && random() % 4 == 0) {
      ASSERT_EQ(heap.take_first(), first->second);
      model.erase(first);
    }
  }
}

}  // namespace
}  // namespace triga::loop
