// SPDX-License-Identifier: MIT
#include "runtime/loop/timer_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <vector>

namespace triga::loop {
namespace {

time_point at(int moment) { return time_point(nanoseconds(moment)); }

// Its timers are numbers, as pointers to the elements of a table.
struct heap_of_numbers : timer_heap<const int*> {
  std::vector<int> numbers;
  std::map<int, ticket> tickets;

  heap_of_numbers() : numbers(20'000) { std::iota(numbers.begin(), numbers.end(), 0); }

  void push(time_point when, int timer) {
    tickets[timer] = timer_heap::push(when, &numbers[static_cast<std::size_t>(timer)]);
  }
  int cancel(int timer) { return *timer_heap::cancel(tickets.at(timer)); }
  int take_first() { return *timer_heap::take_first(); }
  time_point deadline() { return next_deadline(); }
};

TEST(TimerHeap, FiresInOrderOfDeadline) {
  heap_of_numbers heap;
  for (const int when : {5, 1, 4, 2, 3}) heap.push(at(when), when);
  for (int expected = 1; expected <= 5; ++expected) {
    ASSERT_EQ(heap.deadline(), at(expected));
    EXPECT_EQ(heap.take_first(), expected);
  }
  EXPECT_TRUE(heap.empty());
}

TEST(TimerHeap, FiresEqualDeadlinesInInsertionOrder) {
  heap_of_numbers heap;
  for (int timer = 0; timer < 1000; ++timer) heap.push(at(7), timer);
  for (int timer = 0; timer < 1000; ++timer) {
    ASSERT_TRUE(heap.due(at(7)));
    ASSERT_EQ(heap.take_first(), timer);
  }
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
  EXPECT_EQ(heap.deadline(), at(1));
  EXPECT_EQ(heap.cancel(1), 1) << "it is given back at once";
  heap.cancel(3);
  EXPECT_EQ(heap.deadline(), at(2));
  EXPECT_EQ(heap.dead(), 1u);
  EXPECT_EQ(heap.size(), 2u);
}

TEST(TimerHeap, ThrowsTheDeadOutOnceTheyAreMostOfIt) {
  heap_of_numbers heap;
  for (int timer = 0; timer < 300; ++timer) heap.push(at(timer), timer);
  EXPECT_EQ(heap.deadline(), at(0));
  for (int timer = 150; timer < 300; ++timer) heap.cancel(timer);
  heap.deadline();
  EXPECT_EQ(heap.size(), 300u) << "half is not most";
  heap.cancel(149);
  EXPECT_EQ(heap.deadline(), at(0));
  EXPECT_EQ(heap.size(), 149u);
  EXPECT_EQ(heap.dead(), 0u);
}

// One that is cancelled in the turn that made it never gets onto the heap.
TEST(TimerHeap, LeavesNothingOfATimerThatIsCancelledAtOnce) {
  heap_of_numbers heap;
  heap.push(at(1000), 1);
  for (int round = 0; round < 1000; ++round) {
    heap.push(at(500), 2);
    EXPECT_EQ(heap.cancel(2), 2);
  }
  EXPECT_EQ(heap.size(), 1u);
  EXPECT_EQ(heap.dead(), 0u);
  // Not the last of those that came: its deadline stays until the next look.
  heap.push(at(500), 2);
  heap.push(at(600), 3);
  heap.cancel(2);
  EXPECT_EQ(heap.dead(), 1u);
  EXPECT_EQ(heap.deadline(), at(600));
  EXPECT_EQ(heap.size(), 2u);
  EXPECT_EQ(heap.dead(), 0u);
}

TEST(TimerHeap, ATimerThatComesAfterTheLookIsSeenByTheNext) {
  heap_of_numbers heap;
  heap.push(at(10), 1);
  EXPECT_EQ(heap.deadline(), at(10));
  heap.push(at(5), 2);
  EXPECT_TRUE(heap.due(at(5)));
  EXPECT_EQ(heap.take_first(), 2);
}

TEST(TimerHeap, ClearGivesEverythingBackEvenIfThatAddsATimer) {
  heap_of_numbers heap;
  heap.push(at(1), 1);
  heap.push(at(2), 2);
  int dropped = 0;
  heap.clear([&](const int*) {
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
  for (int timer = 0; timer < 20'000; ++timer) {
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
