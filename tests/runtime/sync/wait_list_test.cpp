// SPDX-License-Identifier: MIT
#include "runtime/sync/wait_list.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <array>
#include <chrono>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "runtime/base/fork_generation.h"

namespace {

using namespace triga;
using namespace triga::sync;

TEST(WaitList, NotifiesInOrderOfArrival) {
  wait_list list;
  std::array<waiter, 3> waiters;
  for (waiter& each : waiters) list.enqueue(each);
  EXPECT_EQ(list.size(), 3U);
  EXPECT_EQ(list.notify(2), 2U);
  EXPECT_TRUE(waiters[0].notified());
  EXPECT_TRUE(waiters[1].notified());
  EXPECT_FALSE(waiters[2].notified());
  EXPECT_EQ(list.notify(2), 1U);
  EXPECT_TRUE(waiters[2].notified());
  EXPECT_TRUE(list.empty());
}

TEST(WaitList, AWithdrawnWaiterIsPassedOver) {
  wait_list list;
  std::array<waiter, 3> waiters;
  for (waiter& each : waiters) list.enqueue(each);
  EXPECT_TRUE(list.withdraw(waiters[0]));
  EXPECT_TRUE(list.withdraw(waiters[1]));
  EXPECT_EQ(list.notify(), 1U);
  EXPECT_TRUE(waiters[2].notified());
  EXPECT_FALSE(waiters[0].notified());
}

TEST(WaitList, WithdrawTellsOfANotificationThatCameFirst) {
  wait_list list;
  waiter self;
  list.enqueue(self);
  list.notify();
  EXPECT_FALSE(list.withdraw(self));
}

TEST(WaitList, NotifyWithoutAWaiterIsNotRemembered) {
  wait_list list;
  EXPECT_EQ(list.notify(), 0U);
  EXPECT_EQ(list.notify_all(), 0U);
  waiter self;
  list.enqueue(self);
  EXPECT_EQ(self.park(deadline_after(nanoseconds(1))), wait_status::timed_out);
  EXPECT_TRUE(list.withdraw(self));
}

TEST(WaitList, AWaiterCanBeUsedAgain) {
  wait_list list;
  waiter self;
  for (int round = 0; round < 3; ++round) {
    list.enqueue(self);
    EXPECT_FALSE(self.notified());
    list.notify();
    EXPECT_EQ(self.park(never), wait_status::woken);
  }
}

TEST(WaitList, AParkedThreadIsWoken) {
  wait_list list;
  waiter self;
  list.enqueue(self);
  std::thread waker([&] { list.notify(); });
  EXPECT_EQ(self.park(never), wait_status::woken);
  waker.join();
}

TEST(WaitList, ASpinningThreadSeesTheNotification) {
  wait_list list;
  waiter self;
  list.enqueue(self);
  // The first spin of this thread, which is never skipped; then fruitless ones are learned from.
  EXPECT_EQ(self.spin_for_notification(), waiter::look_out::in_vain);
  EXPECT_EQ(self.spin_for_notification(), waiter::look_out::not_now);
  std::thread waker([&] { list.notify(); });
  while (self.spin_for_notification() != waiter::look_out::came) {
  }
  waker.join();
  EXPECT_TRUE(self.notified());
}

TEST(WaitList, ASignalHandlerInterruptsThePark) {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  struct sigaction old{};
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  wait_list list;
  waiter self;
  list.enqueue(self);
  std::atomic<bool> interrupted{false};
  std::thread sleeper([&] { interrupted = self.park(never) == wait_status::interrupted; });
  // The signal has to meet the sleeper inside the system call, which cannot be observed: send until it has
  // ended.
  while (!interrupted) {
    pthread_kill(sleeper.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  sleeper.join();
  EXPECT_TRUE(list.withdraw(self));
  sigaction(SIGUSR1, &old, nullptr);
}

TEST(WaitList, IsEmptyInAForkedChildAndUsableThere) {
  wait_list list;
  waiter parents;
  list.enqueue(parents);
  const std::uint32_t before = fork_generation();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool good = fork_generation() != before && list.notify() == 0 && list.empty();
    waiter own;
    list.enqueue(own);
    good = good && list.size() == 1 && list.notify() == 1 && own.notified() && !parents.notified();
    _exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(list.notify(), 1U);
}

TEST(WaitList, AWaiterSurvivesAForkInASignalHandler) {
  wait_list list;
  waiter self;
  list.enqueue(self);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    list.enqueue_again_after_fork(self);
    list.enqueue_again_after_fork(self);
    _exit(list.size() == 1 && list.withdraw(self) && list.empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  list.enqueue_again_after_fork(self);
  EXPECT_EQ(list.size(), 1U);
  EXPECT_TRUE(list.withdraw(self));
}

// Producers and consumers over a deque under a mutex, consumers leaving early at random: every item arrives
// once and no notification is lost (a lost one leaves a consumer asleep beside an item, and the test at its
// time limit).
TEST(WaitList, LosesNoNotificationUnderRandomTimeouts) {
  constexpr int items = 4000;
  std::mutex mutex;
  std::deque<int> ready;
  wait_list list;
  std::atomic<int> taken{0};

  const auto consume = [&](unsigned seed) {
    std::minstd_rand random(seed);
    while (taken < items) {
      std::unique_lock lock(mutex);
      if (!ready.empty()) {
        ready.pop_front();
        if (++taken == items) list.notify_all();
        continue;
      }
      if (taken == items) return;
      waiter self;
      list.enqueue(self);
      lock.unlock();
      const bool patient = random() % 2 == 0;
      if (self.park(patient ? never : deadline_after(nanoseconds(random() % 50'000))) == wait_status::woken)
        continue;
      list.withdraw(self);  // notified or not, the loop looks at the deque again
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back(consume, i + 1);
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < items / 2; ++n) {
        const std::lock_guard lock(mutex);
        ready.push_back(n);
        list.notify();
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(taken, items);
}

}  // namespace
