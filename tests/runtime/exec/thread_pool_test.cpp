// SPDX-License-Identifier: MIT
#include "runtime/exec/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>
#include <vector>

#include "runtime/exec/cached_pool.h"
#include "runtime/trace/counters.h"
#include "tests/runtime/exec/latch.h"

namespace triga::exec {
namespace {

class noting_task final : public task {
 public:
  noting_task(std::vector<int>& log, int number) : log_(log), number_(number) {}
  void run() override { log_.push_back(number_); }

 private:
  std::vector<int>& log_;
  int number_;
};

TEST(ThreadPool, RunsTasksInTheOrderOfTheirSubmission) {
  thread_pool pool({.max_workers = 1});
  std::vector<int> log;
  noting_task a(log, 1);
  noting_task b(log, 2);
  noting_task c(log, 3);
  EXPECT_EQ(pool.submit(a), submit_status::needs_worker);
  EXPECT_EQ(pool.submit(b), submit_status::accepted);
  EXPECT_EQ(pool.submit(c), submit_status::accepted);
  pool.close();
  no_hooks hooks;
  pool.work(hooks);
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3}));
}

TEST(ThreadPool, RefusesTasksOnceClosed) {
  thread_pool pool({.max_workers = 1});
  std::vector<int> log;
  noting_task late(log, 1);
  pool.close();
  pool.close();
  EXPECT_EQ(pool.submit(late), submit_status::closed);
  EXPECT_EQ(pool.queued(), 0U);
}

TEST(ThreadPool, AsksForNoMoreWorkersThanItMayHave) {
  thread_pool pool({.max_workers = 2});
  std::vector<int> log;
  noting_task a(log, 1);
  noting_task b(log, 2);
  noting_task c(log, 3);
  EXPECT_EQ(pool.submit(a), submit_status::needs_worker);
  EXPECT_EQ(pool.submit(b), submit_status::needs_worker);
  EXPECT_EQ(pool.submit(c), submit_status::accepted);
  EXPECT_EQ(pool.take_all().size(), 3U);
}

TEST(ThreadPool, AskedAgainWhenAWorkerCouldNotBeStarted) {
  thread_pool pool({.max_workers = 1});
  std::vector<int> log;
  noting_task a(log, 1);
  noting_task b(log, 2);
  EXPECT_EQ(pool.submit(a), submit_status::needs_worker);
  pool.worker_not_started();
  EXPECT_EQ(pool.submit(b), submit_status::needs_worker);
  EXPECT_TRUE(pool.take_back(a));
  EXPECT_FALSE(pool.take_back(a));
  EXPECT_EQ(pool.try_take(), &b);
  EXPECT_EQ(pool.try_take(), nullptr);
}

// With the rule of 3.12 and later a worker that found the queue empty is idle, so the next submit needs no
// other.
TEST(ThreadPool, GivesATokenWhenTheQueueIsFoundEmpty) {
  thread_pool pool({.max_workers = 4});
  struct hooks_that_close final : thread_hooks {
    explicit hooks_that_close(thread_pool& its_pool) : pool(its_pool) {}
    void detach() override {
      tokens += pool.take_idle_token() ? 1 : 0;
      EXPECT_FALSE(pool.take_idle_token());
      pool.close();
    }
    thread_pool& pool;
    int tokens = 0;
  } hooks(pool);
  std::vector<int> log;
  noting_task a(log, 1);
  noting_task b(log, 2);
  EXPECT_EQ(pool.submit(a), submit_status::needs_worker);
  EXPECT_EQ(pool.submit(b), submit_status::needs_worker);
  pool.work(hooks);
  EXPECT_EQ(hooks.tokens, 1);
}

TEST(ThreadPool, GivesATokenAfterEachTaskWithTheOlderRule) {
  thread_pool pool({.max_workers = 4, .idle = idle_rule::after_each_task});
  std::vector<int> log;
  noting_task a(log, 1);
  noting_task b(log, 2);
  EXPECT_EQ(pool.submit(a), submit_status::needs_worker);
  EXPECT_EQ(pool.submit(b), submit_status::needs_worker);
  pool.close();
  no_hooks hooks;
  pool.work(hooks);
  EXPECT_TRUE(pool.take_idle_token());
  EXPECT_TRUE(pool.take_idle_token());
  EXPECT_FALSE(pool.take_idle_token());
}

TEST(ThreadPool, CallsItsHookAfterEachTaskAndAttachesOnce) {
  struct counting final : thread_hooks {
    void attach() override { ++attached; }
    void after_task() override { ++after; }
    int attached = 0;
    int after = 0;
  } hooks;
  thread_pool pool({.max_workers = 1});
  std::vector<int> log;
  noting_task a(log, 1);
  noting_task b(log, 2);
  EXPECT_EQ(pool.submit(a), submit_status::needs_worker);
  EXPECT_EQ(pool.submit(b), submit_status::accepted);
  pool.close();
  pool.work(hooks);
  EXPECT_EQ(hooks.attached, 1);
  EXPECT_EQ(hooks.after, 2);
}

TEST(ThreadPool, ForgetsWorkersAndTasksInAForkedChild) {
  thread_pool pool({.max_workers = 1});
  std::vector<int> log;
  noting_task a(log, 1);
  noting_task b(log, 2);
  EXPECT_EQ(pool.submit(a), submit_status::needs_worker);
  const pid_t child = fork();
  if (child == 0) {
    const bool forgot = pool.queued() == 0 && pool.take_orphans().size() == 1;
    _exit(forgot && pool.submit(b) == submit_status::needs_worker ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(pool.submit(b), submit_status::accepted);
  EXPECT_EQ(pool.take_all().size(), 2U);
}

TEST(CachedPool, RunsBlockedTasksSideBySide) {
  cached_pool pool({.max_workers = 3});
  std::atomic<int> inside{0};
  latch all_inside;
  for (int i = 0; i < 3; ++i) {
    pool.post([&] {
      if (++inside == 3) all_inside.open();
      all_inside.wait();
    });
  }
  pool.shut_down();
  EXPECT_EQ(inside, 3);
}

// The chain of wakes: two workers sleep, two tasks come at once, the first of which blocks until the second
// has run.
TEST(CachedPool, AWokenWorkerWakesTheNextWhenItLeavesTasksBehind) {
  for (int round = 0; round < 200; ++round) {
    cached_pool pool({.max_workers = 2});
    latch first_two;
    std::atomic<int> ready{0};
    for (int i = 0; i < 2; ++i) {
      pool.post([&] {
        if (++ready == 2) first_two.open();
        first_two.wait();
      });
    }
    latch second_ran;
    pool.post([&] { second_ran.wait(); });
    pool.post([&] { second_ran.open(); });
    pool.shut_down();
  }
}

TEST(CachedPool, StartsOneThreadForSequentialTasks) {
  cached_pool pool({.max_workers = 8});
  for (int i = 0; i < 50; ++i) {
    latch ran;
    pool.post([&] { ran.open(); });
    ran.wait();
    // The worker is idle once it has given its token back.
    while (!pool.pool().take_idle_token()) std::this_thread::yield();
    pool.pool().give_idle_token();
  }
  EXPECT_EQ(pool.pool().workers_started(), 1U);
}

TEST(CachedPool, RunsWhatIsQueuedBeforeItShutsDown) {
  std::atomic<int> ran{0};
  {
    cached_pool pool({.max_workers = 1});
    latch go;
    pool.post([&] { go.wait(); });
    for (int i = 0; i < 100; ++i) pool.post([&] { ++ran; });
    go.open();
  }
  EXPECT_EQ(ran, 100);
}

TEST(CachedPool, RefusesWorkAfterShutDown) {
  cached_pool pool({.max_workers = 1});
  pool.shut_down();
  EXPECT_FALSE(pool.post([] {}));
}

TEST(CachedPool, SpinningWorkersFindTheirTasks) {
  cached_pool pool({.max_workers = 2, .spins = true});
  std::atomic<int> ran{0};
  for (int i = 0; i < 500; ++i) {
    latch done;
    pool.post([&] {
      ++ran;
      done.open();
    });
    done.wait();
  }
  pool.shut_down();
  EXPECT_EQ(ran, 500);
}

// Several submitters, nested submits and taking back at random: every task runs or is taken, exactly once.
TEST(CachedPool, CountsAddUpUnderStress) {
  constexpr int submitters = 3;
  constexpr int each = 2000;
  std::atomic<int> ran{0};
  int taken = 0;
  std::mt19937 random(20261123);
  cached_pool pool({.max_workers = 4});
  struct counted final : task {
    explicit counted(std::atomic<int>& its_ran) : ran(its_ran) {}
    void run() override { ++ran; }
    std::atomic<int>& ran;
  };
  std::vector<std::unique_ptr<counted>> tasks;
  for (int i = 0; i < submitters * each; ++i) tasks.push_back(std::make_unique<counted>(ran));
  std::vector<std::thread> threads;
  std::atomic<int> nested{0};
  for (int s = 0; s < submitters; ++s) {
    threads.emplace_back([&, s] {
      for (int i = 0; i < each; ++i) EXPECT_TRUE(pool.submit(*tasks[static_cast<std::size_t>(s * each + i)]));
      pool.post([&] { pool.post([&] { ++nested; }); });
    });
  }
  std::vector<task*> kept;
  for (int i = 0; i < 200; ++i) {
    if (random() % 2 != 0) std::this_thread::yield();
    if (task* node = pool.pool().try_take()) kept.push_back(node);
  }
  for (auto& thread : threads) thread.join();
  for (task* node : kept) {
    if (dynamic_cast<counted*>(node) != nullptr) {
      ++taken;
    } else {
      node->run();
    }
  }
  while (nested != submitters) std::this_thread::yield();
  pool.shut_down();
  EXPECT_EQ(ran + taken, submitters * each);
}

}  // namespace
}  // namespace triga::exec
