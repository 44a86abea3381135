// SPDX-License-Identifier: MIT
#include "runtime/proc/pool_task.h"

#include <gtest/gtest.h>

#include "runtime/proc/outcome.h"

namespace {

using namespace triga::proc;

task_pointer make_task(std::uint64_t index) {
  auto task = std::make_unique<pool_task>();
  task->index = index;
  return task;
}

std::vector<std::uint64_t> indexes_of(const task_list& list) {
  std::vector<std::uint64_t> all;
  for (const pool_task* task = list.front(); task != nullptr; task = task_list::after(*task))
    all.push_back(task->index);
  return all;
}

TEST(TaskList, KeepsOrderWhereverATaskLeaves) {
  task_list list;
  std::vector<pool_task*> tasks;
  for (std::uint64_t i = 0; i < 5; ++i) {
    task_pointer task = make_task(i);
    tasks.push_back(task.get());
    list.push_back(std::move(task));
  }
  EXPECT_EQ(list.remove(*tasks[2])->index, 2U);
  EXPECT_EQ(list.remove(*tasks[4])->index, 4U);
  EXPECT_EQ(list.remove(*tasks[0])->index, 0U);
  EXPECT_EQ(indexes_of(list), (std::vector<std::uint64_t>{1, 3}));
  list.push_front(make_task(9));
  list.push_back(make_task(7));
  EXPECT_EQ(indexes_of(list), (std::vector<std::uint64_t>{9, 1, 3, 7}));
  EXPECT_EQ(list.back()->index, 7U);
  EXPECT_EQ(list.size(), 4U);
  while (list.pop_front()) {
  }
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.back(), nullptr);
}

TEST(TaskWindow, FindsTasksByIndexInAnyOrderOfTheirEnds) {
  task_window window;
  std::vector<task_pointer> tasks;
  for (std::uint64_t i = 0; i < 100; ++i) {
    tasks.push_back(make_task(i + 50));
    window.put(i + 50, tasks.back().get());
  }
  for (std::uint64_t i = 0; i < 100; i += 2) window.erase(i + 50);
  for (std::uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(window.find(i + 50), i % 2 == 0 ? nullptr : tasks[i].get()) << i;
  EXPECT_EQ(window.find(49), nullptr);
  EXPECT_EQ(window.find(150), nullptr);
  window.put(20, tasks[0].get());  // before all others
  EXPECT_EQ(window.find(20), tasks[0].get());
  EXPECT_EQ(window.find(51), tasks[1].get());
  window.erase(20);
  window.erase(20);
  EXPECT_EQ(window.find(20), nullptr);
}

}  // namespace
