// SPDX-License-Identifier: MIT
// Detached parts, the attendant, bounded queues and idle workers of exec::thread_pool.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/exec/cached_pool.h"
#include "runtime/exec/thread_pool.h"
#include "runtime/trace/counters.h"
#include "tests/runtime/exec/latch.h"

namespace triga::exec {
namespace {

// Says whether it is attached, and takes as long to attach as it is told.
class noting_hooks final : public thread_hooks {
 public:
  explicit noting_hooks(nanoseconds takes = {}) : takes_(takes) {}
  void attach() override {
    std::this_thread::sleep_for(takes_);
    attached = true;
    ++attachments;
  }
  void detach() override { attached = false; }
  bool attached = false;
  int attachments = 0;

 private:
  nanoseconds takes_;
};

class two_part_task final : public task, public detached_part {
 public:
  two_part_task(const noting_hooks& hooks, std::vector<int>& log, int number)
      : hooks_(hooks), log_(log), number_(number) {
    extras_.detached = this;
    set_extras(&extras_);
  }
  void run_detached() noexcept override {
    EXPECT_FALSE(hooks_.attached);
    log_.push_back(number_);
  }
  void run() override {
    EXPECT_TRUE(hooks_.attached);
    log_.push_back(-number_);
  }

 private:
  const noting_hooks& hooks_;
  std::vector<int>& log_;
  const int number_;
  task_extras extras_;
};

class plain_task final : public task {
 public:
  plain_task(std::vector<int>& log, int number) : log_(log), number_(number) {}
  void run() override { log_.push_back(number_); }

 private:
  std::vector<int>& log_;
  const int number_;
};

// A task with a deadline, whose run() opens a latch.
class timed_task final : public task {
 public:
  explicit timed_task(time_point deadline) {
    extras_.deadline = deadline;
    set_extras(&extras_);
  }
  void run() override { ran.open(); }
  latch ran;

 private:
  task_extras extras_;
};

void submit_to(thread_pool& pool, task& node) {
  EXPECT_TRUE(pool.submit(node) == submit_status::accepted || pool.workers_started() == 1);
}

TEST(ThreadPool, RunsDetachedPartsDetachedAndFinishesThemAttachedInOrder) {
  thread_pool pool({.max_workers = 1});
  noting_hooks hooks;
  std::vector<int> log;
  two_part_task a(hooks, log, 1);
  plain_task b(log, 2);
  two_part_task c(hooks, log, 3);
  two_part_task d(hooks, log, 4);
  for (task* each : std::initializer_list<task*>{&a, &b, &c, &d}) submit_to(pool, *each);
  pool.close();
  EXPECT_EQ(pool.work(hooks), thread_pool::left::closed);
  // Never is one kept back while another's detached part runs.
  EXPECT_EQ(log, (std::vector<int>{1, -1, 2, 3, -3, 4, -4}));
}

// The attendant's attach time says that attaching is slow: the worker leaves the finishing to it, but for the
// last, after which it has nothing else to do.
TEST(ThreadPool, LeavesFinishingToTheAttendantWhereAttachingIsSlow) {
  thread_pool pool({.max_workers = 1});
  noting_hooks hooks;
  std::vector<int> log;
  two_part_task a(hooks, log, 1);
  two_part_task b(hooks, log, 2);
  timed_task overdue(time_point{} + nanoseconds(1));
  submit_to(pool, overdue);
  task_list first = pool.attend({});
  EXPECT_EQ(first.pop(), &overdue);
  submit_to(pool, a);
  submit_to(pool, b);
  std::thread attendant([&] {
    task_list ready = pool.attend(std::chrono::milliseconds(1));
    EXPECT_EQ(ready.pop(), &a);
    EXPECT_TRUE(ready.empty());
    pool.close();
    EXPECT_TRUE(pool.attend(std::chrono::milliseconds(1)).empty());
  });
  // Has to see that there is an attendant that finds attaching slow.
  while (!pool.attaches_slowly()) std::this_thread::yield();
  EXPECT_EQ(pool.work(hooks), thread_pool::left::closed);
  attendant.join();
  EXPECT_EQ(log, (std::vector<int>{1, 2, -2}));
}

TEST(ThreadPool, AttendantTakesTasksWhoseDeadlinePassesInTheQueue) {
  thread_pool pool({.max_workers = 1});
  timed_task late(deadline_after(std::chrono::milliseconds(20)));
  timed_task later(deadline_after(std::chrono::hours(1)));
  std::thread attendant([&] {
    task_list ready = pool.attend({});
    EXPECT_EQ(ready.pop(), &late);
    EXPECT_TRUE(ready.empty());
    // It leaves when the last deadline has left the queue of a closed pool.
    EXPECT_TRUE(pool.attend({}).empty());
  });
  submit_to(pool, later);
  submit_to(pool, late);
  while (pool.queued() != 1) std::this_thread::yield();
  pool.close();
  no_hooks hooks;
  pool.work(hooks);
  attendant.join();
  later.ran.wait();
}

TEST(ThreadPool, RefusesTasksWhenItsQueueIsFullUntilThereIsSpace) {
  thread_pool pool({.max_workers = 1, .max_queued = 2});
  std::vector<int> log;
  plain_task a(log, 1);
  plain_task b(log, 2);
  plain_task c(log, 3);
  submit_to(pool, a);
  submit_to(pool, b);
  EXPECT_EQ(pool.submit(c), submit_status::full);
  EXPECT_EQ(pool.wait_for_space(deadline_after(std::chrono::milliseconds(1))), sync::wait_status::timed_out);
  std::thread submitter([&] {
    while (pool.submit(c) == submit_status::full) pool.wait_for_space(never);
  });
  while (pool.space_waiters() == 0) std::this_thread::yield();
  EXPECT_EQ(pool.try_take(), &a);
  submitter.join();
  EXPECT_EQ(pool.take_all().size(), 2U);
}

TEST(ThreadPool, ClosingEndsTheWaitForSpace) {
  thread_pool pool({.max_workers = 1, .max_queued = 1});
  std::vector<int> log;
  plain_task a(log, 1);
  plain_task b(log, 2);
  submit_to(pool, a);
  std::thread submitter([&] {
    submit_status status = pool.submit(b);
    while (status == submit_status::full) {
      pool.wait_for_space(never);
      status = pool.submit(b);
    }
    EXPECT_EQ(status, submit_status::closed);
  });
  while (pool.space_waiters() == 0) std::this_thread::yield();
  pool.close();
  submitter.join();
  EXPECT_EQ(pool.try_take(), &a);
}

// A worker that waited for space in its own pool would wait for itself.
TEST(ThreadPool, ItsOwnWorkersMayFillTheQueueBeyondItsBound) {
  struct nesting_task final : task {
    nesting_task(thread_pool& its_pool, std::vector<int>& its_log)
        : pool(its_pool), a(its_log, 1), b(its_log, 2) {}
    void run() override {
      EXPECT_EQ(pool.submit(a), submit_status::accepted);
      EXPECT_EQ(pool.submit(b), submit_status::accepted);
      pool.close();
    }
    thread_pool& pool;
    plain_task a;
    plain_task b;
  };
  thread_pool pool({.max_workers = 1, .max_queued = 1});
  std::vector<int> log;
  nesting_task outer(pool, log);
  submit_to(pool, outer);
  no_hooks hooks;
  pool.work(hooks);
  EXPECT_EQ(log, (std::vector<int>{1, 2}));
}

TEST(ThreadPool, AWorkerThatIsIdleForTooLongLeavesAndIsReplacedWhenNeeded) {
  thread_pool pool({.max_workers = 1, .idle_timeout = std::chrono::milliseconds(5)});
  const auto before = trace::snapshot()[static_cast<std::size_t>(trace::counter::workers_left_idle)];
  std::vector<int> log;
  no_hooks hooks;
  for (int round = 1; round <= 3; ++round) {
    plain_task node(log, round);
    EXPECT_EQ(pool.submit(node), submit_status::needs_worker);
    EXPECT_EQ(pool.work(hooks), thread_pool::left::idle);
    EXPECT_EQ(pool.workers_started(), 0U);
    EXPECT_FALSE(pool.take_idle_token());
  }
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(trace::snapshot()[static_cast<std::size_t>(trace::counter::workers_left_idle)], before + 3);
}

// Workers leave all the time while others submit: every task runs all the same.
TEST(ThreadPool, LosesNoTaskToWorkersThatLeave) {
  cached_pool pool({.max_workers = 2, .idle_timeout = std::chrono::microseconds(50)});
  std::atomic<int> ran{0};
  constexpr int each = 300;
  std::vector<std::thread> submitters;
  for (int thread = 0; thread < 2; ++thread) {
    submitters.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        pool.post([&] { ran.fetch_add(1); });
        if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(60));
      }
    });
  }
  for (std::thread& thread : submitters) thread.join();
  pool.shut_down();
  EXPECT_EQ(ran.load(), 2 * each);
}

// Detached parts, plain tasks, priorities and deadlines from several threads, with an attendant: everything
// runs once.
TEST(ThreadPool, RunsEveryKindOfTaskOnceUnderLoad) {
  struct mixed_task final : task, detached_part {
    std::atomic<int>* detached_runs = nullptr;
    std::atomic<int>* runs = nullptr;
    task_extras extras;
    void use() { set_extras(&extras); }
    void run_detached() noexcept override { detached_runs->fetch_add(1); }
    void run() override { runs->fetch_add(1); }
  };
  struct slow_hooks final : thread_hooks {
    void attach() override {
      if (++turns % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(400));
    }
    unsigned turns = 0;
  };
  constexpr std::size_t count = 3000;
  std::vector<mixed_task> tasks(count);
  std::atomic<int> detached_runs{0};
  std::atomic<int> runs{0};
  int with_detached_part = 0;
  cached_pool pool({.max_workers = 3}, [](thread_pool& inner) {
    slow_hooks hooks;
    inner.work(hooks);
  });
  for (std::size_t i = 0; i < count; ++i) {
    tasks[i].runs = &runs;
    tasks[i].detached_runs = &detached_runs;
    if (i % 3 == 0) {
      tasks[i].extras.detached = &tasks[i];
      ++with_detached_part;
    }
    if (i % 5 == 0) tasks[i].extras.priority = static_cast<int>(i % 7) - 3;
    if (i % 11 == 1) tasks[i].extras.deadline = deadline_after(std::chrono::hours(1));
    if (i % 2 == 0 || i % 3 == 0 || i % 11 == 1) tasks[i].use();
  }
  std::thread attendant([&] {
    for (;;) {
      task_list ready = pool.pool().attend(std::chrono::milliseconds(1));
      if (ready.empty()) return;
      while (task* const each = ready.pop()) each->run();
    }
  });
  std::vector<std::thread> submitters;
  for (std::size_t thread = 0; thread < 3; ++thread) {
    submitters.emplace_back([&, thread] {
      for (std::size_t i = thread; i < count; i += 3) pool.submit(tasks[i]);
    });
  }
  for (std::thread& thread : submitters) thread.join();
  pool.shut_down();
  attendant.join();
  EXPECT_EQ(runs.load(), static_cast<int>(count));
  EXPECT_EQ(detached_runs.load(), with_detached_part);
}

}  // namespace
}  // namespace triga::exec
