// SPDX-License-Identifier: MIT
#include "runtime/exec/task_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <random>
#include <vector>

namespace triga::exec {
namespace {

class numbered_task final : public task {
 public:
  explicit numbered_task(int its_number) : number(its_number) {}
  void run() override {}
  void give(task_extras& extras) { set_extras(&extras); }
  const int number;
};

std::vector<int> numbers_of(task_list list) {
  std::vector<int> numbers;
  while (task* const each = list.pop()) numbers.push_back(static_cast<numbered_task*>(each)->number);
  return numbers;
}

time_point at(int second) { return time_point{} + std::chrono::seconds(second); }

TEST(TaskQueue, PlainTasksAreFirstInFirstOut) {
  task_queue queue;
  numbered_task a(1);
  numbered_task b(2);
  queue.push(a);
  queue.push(b);
  EXPECT_EQ(queue.front(), &a);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.pop(), &a);
  EXPECT_EQ(queue.pop(), &b);
  EXPECT_EQ(queue.pop(), nullptr);
  EXPECT_TRUE(queue.empty());
}

TEST(TaskQueue, GreaterPrioritiesGoFirstAndEqualOnesInOrder) {
  std::array<task_extras, 6> extras;
  const std::array<int, 6> priorities = {0, -1, 2, 0, 2, 1};
  std::array<numbered_task, 6> tasks = {numbered_task(0), numbered_task(1), numbered_task(2),
                                        numbered_task(3), numbered_task(4), numbered_task(5)};
  task_queue queue;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    extras[i].priority = priorities[i];
    tasks[i].give(extras[i]);
    queue.push(tasks[i]);
  }
  EXPECT_EQ(queue.size(), 6U);
  EXPECT_EQ(queue.front(), &tasks[2]);
  EXPECT_TRUE(queue.remove(tasks[4]));
  EXPECT_FALSE(queue.remove(tasks[4]));
  EXPECT_EQ(numbers_of(queue.take_all()), (std::vector<int>{2, 5, 0, 3, 1}));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size(), 0U);
}

TEST(TaskQueue, TakesTheTasksWhoseDeadlineHasPassed) {
  std::array<task_extras, 4> extras;
  std::array<numbered_task, 4> tasks = {numbered_task(0), numbered_task(1), numbered_task(2),
                                        numbered_task(3)};
  extras[0].deadline = at(30);
  extras[1].deadline = at(10);
  extras[1].priority = 5;
  extras[2].deadline = at(20);
  task_queue queue;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    tasks[i].give(extras[i]);
    queue.push(tasks[i]);
  }
  EXPECT_EQ(queue.next_deadline(), at(10));
  EXPECT_TRUE(queue.take_expired(at(9)).empty());
  EXPECT_EQ(numbers_of(queue.take_expired(at(20))), (std::vector<int>{1, 2}));
  EXPECT_EQ(queue.next_deadline(), at(30));
  EXPECT_EQ(queue.pop(), &tasks[0]);
  EXPECT_EQ(queue.next_deadline(), never);
  EXPECT_EQ(queue.pop(), &tasks[3]);
}

// Against a plain model: a vector that is searched.
TEST(TaskQueue, AgreesWithAModelOnRandomOperations) {
  std::mt19937 random(20);  // NOLINT(bugprone-random-generator-seed): the same every time
  const auto upto = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  std::vector<task_extras> extras(2000);
  std::vector<std::unique_ptr<numbered_task>> tasks;
  std::vector<int> model;
  task_queue queue;
  const auto priority = [&](int number) { return extras[static_cast<std::size_t>(number)].priority; };
  for (int number = 0; number < 2000; ++number) {
    auto& its = extras[static_cast<std::size_t>(number)];
    tasks.push_back(std::make_unique<numbered_task>(number));
    its.priority = upto(3) - 1;
    if (upto(1) == 1) its.deadline = at(1 + upto(100));
    if (upto(3) != 0)
      tasks.back()->give(its);
    else
      its = {};
    queue.push(*tasks.back());
    auto place = model.begin();
    while (place != model.end() && priority(*place) >= its.priority) ++place;
    model.insert(place, number);
    if (upto(2) != 0) {
      const auto chosen = model.begin() + upto(static_cast<int>(model.size()) - 1);
      if (upto(1) == 0) {
        EXPECT_TRUE(queue.remove(*tasks[static_cast<std::size_t>(*chosen)]));
        model.erase(chosen);
      } else {
        EXPECT_EQ(static_cast<numbered_task*>(queue.pop())->number, model.front());
        model.erase(model.begin());
      }
    }
    ASSERT_EQ(queue.size(), model.size());
  }
  EXPECT_EQ(numbers_of(queue.take_all()), model);
}

}  // namespace
}  // namespace triga::exec
