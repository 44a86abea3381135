// SPDX-License-Identifier: MIT
// Time limits, cancelling what runs, retries.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <string>
#include <thread>

#include "runtime/base/unique_fd.h"
#include "tests/runtime/proc/pool_of_forks.h"

namespace {

using namespace triga;
using namespace triga::proc;
using namespace std::chrono_literals;

class PoolTerms : public pool_testing::PoolOfForks {
 protected:
  // A task that runs until release() is called, or its worker is killed.
  std::string holding() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    read_end_ = unique_fd(ends[0]);
    write_end_ = unique_fd(ends[1]);
    return "hold " + std::to_string(ends[0]);
  }
  void release() const { ASSERT_EQ(::write(write_end_.get(), "x", 1), 1); }
  void wait_running(receiver& to, std::uint64_t index) {
    while (!pool_.is_running(to, index)) ::sched_yield();
  }

  unique_fd read_end_;
  unique_fd write_end_;
};

TEST_F(PoolTerms, ATaskThatRunsTooLongIsEndedAndNoOther) {
  const std::string hold = holding();
  start_worker();
  const auto all = make_batch(3);
  submit(all, 0, hold, {.tag = 1, .time_limit = 20ms});
  submit(all, 1, "echo a", {.tag = 1, .time_limit = 20s});
  submit(all, 2, "echo b");
  wait_complete(all);
  auto end = all->take(0);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->what, outcome::kind::timed_out);
  EXPECT_EQ(end->worker.why, end_reason::timeout);
  EXPECT_EQ(answer(*all, 1), "echo a");
  EXPECT_EQ(answer(*all, 2), "echo b");
  EXPECT_EQ(replaced_, 1);
}

// The limit counts from when a worker takes the task, not from when it was submitted.
TEST_F(PoolTerms, WaitingForAWorkerIsNotRunning) {
  const std::string hold = holding();
  start_worker();
  const auto first = make_batch(1);
  const auto second = make_batch(1);
  submit(first, 0, hold);
  submit(second, 0, "echo", {.tag = 1, .time_limit = 1ms});
  wait_running(*first, 0);
  EXPECT_EQ(pool_.wait([&] { return second->complete(); }, deadline_after(30ms), true),
            process_pool::ended::timed_out);
  release();
  wait_complete(second);
  // Which of the two it is depends on the machine: a millisecond may pass while an answer is on its way.
  const auto end = second->take(0);
  EXPECT_TRUE(end->what == outcome::kind::answered || end->what == outcome::kind::timed_out);
  EXPECT_EQ(answer(*first, 0).substr(0, 5), "hold ");
}

// Nobody but the collecting thread is there to see the end of the limit, and it slept before there was one.
TEST_F(PoolTerms, TheCollectingThreadEndsWhatRunsTooLong) {
  const std::string hold = holding();
  start_worker();
  std::thread collector([this] {
    while (pool_.serve() != process_pool::ended::stopped) {
      for ([[maybe_unused]] const departure& each : pool_.take_departed()) start_worker();
    }
  });
  const auto all = make_batch(1);
  submit(all, 0, hold, {.tag = 1, .time_limit = 10ms});
  while (!all->complete()) ::sched_yield();
  EXPECT_EQ(all->take(0)->what, outcome::kind::timed_out);
  pool_.stop_serving();
  collector.join();
}

TEST_F(PoolTerms, ATaskThatRunsCanBeCancelledByItsWorkersDeath) {
  const std::string hold = holding();
  start_worker();
  const auto all = make_batch(2);
  submit(all, 0, hold, {.tag = 1, .retries = 3});  // which is no crash, so it is not begun again
  submit(all, 1, "echo");
  EXPECT_FALSE(pool_.cancel_running(*all, 2));
  wait_running(*all, 0);
  EXPECT_FALSE(pool_.cancel_running(*all, 1));
  EXPECT_TRUE(pool_.cancel_running(*all, 0));
  wait_complete(all);
  const auto end = all->take(0);
  EXPECT_EQ(end->what, outcome::kind::cancelled);
  EXPECT_EQ(end->worker.why, end_reason::cancelling);
  EXPECT_EQ(answer(*all, 1), "echo");
  EXPECT_FALSE(pool_.cancel_running(*all, 1));
}

TEST_F(PoolTerms, ACrashIsRetriedAsOftenAsATaskAllows) {
  std::string file = "/tmp/triga-pool-terms-XXXXXX";
  const int made = ::mkstemp(file.data());
  ASSERT_GE(made, 0);
  ::close(made);
  ::unlink(file.c_str());
  start_worker();
  const auto all = make_batch(3);
  submit(all, 0, "kill", {.tag = 1, .retries = 2});
  submit(all, 1, "again " + file, {.tag = 1, .retries = 1});
  submit(all, 2, "echo");
  wait_complete(all);
  EXPECT_EQ(answer(*all, 0), "was killed by signal 9 (SIGKILL)");
  EXPECT_EQ(answer(*all, 1), "again " + file);
  EXPECT_EQ(answer(*all, 2), "echo");
  EXPECT_EQ(replaced_, 3 + 1);
  ::unlink(file.c_str());
}

TEST_F(PoolTerms, ALargeTaskIsWholeWhenItIsBegunAgain) {
  start_worker();
  const auto all = make_batch(1);
  std::string file = "/tmp/triga-pool-terms-XXXXXX";
  const int made = ::mkstemp(file.data());
  ASSERT_GE(made, 0);
  ::close(made);
  ::unlink(file.c_str());
  // The name ends at the first NUL.
  const std::string large = "again " + file + std::string(100'000, '\0');
  submit(all, 0, large, {.tag = 1, .retries = 1});
  wait_complete(all);
  EXPECT_EQ(answer(*all, 0), large);
  ::unlink(file.c_str());
}

// Cancelling ten thousand tasks that wait took a search each.
TEST_F(PoolTerms, WaitingTasksAreCancelledInAnyOrder) {
  constexpr std::uint64_t count = 10'000;
  const auto all = make_batch(count);
  for (std::uint64_t i = 0; i < count; ++i) submit(all, i, "echo");
  for (std::uint64_t i = count; i-- != 0;) EXPECT_TRUE(pool_.cancel(*all, i));
  EXPECT_TRUE(all->complete());
  EXPECT_EQ(pool_.outstanding(), 0U);
  EXPECT_EQ(pool_.backlog_bytes(), 0U);
}

}  // namespace
