// SPDX-License-Identifier: MIT
// Random work of pools, threads, futures and wait lists together, whose counts have to add up exactly.
// TRIGA_STRESS_TASKS says how much (`make stress-tsan` a million), TRIGA_STRESS_SEED from where.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/exec/cached_pool.h"
#include "runtime/exec/future_state.h"
#include "runtime/exec/thread_cache.h"
#include "runtime/exec/thread_handle.h"
#include "runtime/sync/wait_list.h"

namespace triga::exec {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::stoull(text) : otherwise;
}

// A task and its future: finished by the pool, or cancelled by whoever takes it back.
struct counted_task final : task {
  explicit counted_task(std::atomic<std::uint64_t>& its_counter) : counter(its_counter) {}
  void run() override {
    if (state.start()) {
      counter.fetch_add(1, std::memory_order_relaxed);
      value = 1;
      state.finish();
    }
  }

  std::atomic<std::uint64_t>& counter;
  future_state state;
  int value = 0;  // written before finish(), read after done(): a race if that orders nothing
};

// A thread that is leased, does one thing, and can be joined.
struct counted_thread final : thread_job {
  explicit counted_thread(std::atomic<std::uint64_t>& its_counter) : counter(its_counter) {}
  void run() override {
    handle->begin(static_cast<std::uintptr_t>(pthread_self()));
    counter.fetch_add(1, std::memory_order_relaxed);
    value = 1;
  }
  void parked() noexcept override {
    const std::shared_ptr<thread_handle> mine = std::move(handle);
    mine->finish();
  }

  std::atomic<std::uint64_t>& counter;
  std::shared_ptr<thread_handle> handle = std::make_shared<thread_handle>();
  int value = 0;
};

// Items that are handed over through a wait list, as a queue does it.
struct hand_over {
  void put() {
    {
      const std::lock_guard lock(mutex);
      ++items;
    }
    waiting.notify(1);
  }

  void take() {
    for (;;) {
      sync::waiter self;
      {
        const std::lock_guard lock(mutex);
        if (items != 0) {
          --items;
          return;
        }
        waiting.enqueue(self);
      }
      // A notification that came with the deadline is acted on by looking again, as any other.
      if (self.park(deadline_after(std::chrono::microseconds(50))) != sync::wait_status::woken &&
          !waiting.withdraw(self)) {
        continue;
      }
    }
  }

  std::mutex mutex;
  int items = 0;
  sync::wait_list waiting;
};

class ExecStress : public ::testing::Test {
 protected:
  void submit_and_perhaps_take_back() {
    std::vector<std::unique_ptr<counted_task>> tasks(1 + random() % 40);
    for (auto& each : tasks) {
      each = std::make_unique<counted_task>(ran);
      ++asked;
      ASSERT_TRUE(pool->submit(*each));
      if (random() % 4 == 0 && pool->pool().take_back(*each)) {
        each->state.cancel();
        each->state.notify_cancelled();
        ++cancelled;
      }
    }
    for (auto& each : tasks) {
      while (!each->state.done()) each->state.sleep_until_done(never);
      EXPECT_EQ(each->value, each->state.now() == progress::finished ? 1 : 0);
    }
    drained.insert(drained.end(), std::make_move_iterator(tasks.begin()),
                   std::make_move_iterator(tasks.end()));
  }

  // Each of them submits another, which deletes itself.
  void submit_nested() {
    const std::uint64_t count = 1 + random() % 20;
    for (std::uint64_t i = 0; i < count; ++i) {
      asked += 2;
      ASSERT_TRUE(pool->post([this] {
        ran.fetch_add(1, std::memory_order_relaxed);
        inner->post([this] { ran.fetch_add(1, std::memory_order_relaxed); });
      }));
    }
  }

  void start_and_join_threads() {
    std::vector<std::unique_ptr<counted_thread>> jobs(1 + random() % 6);
    std::vector<std::shared_ptr<thread_handle>> handles;
    for (auto& job : jobs) {
      job = std::make_unique<counted_thread>(ran);
      ++asked;
      handles.push_back(job->handle);
      ASSERT_TRUE(handles.back()->claim());
      auto lease = cache.start(*job).value_or_throw("start");
      if (random() % 2 == 0) handles.back()->keep(std::move(lease));
    }
    for (const auto& handle : handles) {
      while (!handle->done()) handle->wait(never);
    }
    for (const auto& job : jobs) EXPECT_EQ(job->value, 1);
    if (random() % 8 == 0) cache.end_idle_threads();
  }

  void hand_items_over() {
    hand_over items;
    const std::uint64_t each = 1 + random() % 30;
    asked += 2 * each;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        for (std::uint64_t n = 0; n < each; ++n) items.put();
      });
      threads.emplace_back([&] {
        for (std::uint64_t n = 0; n < each; ++n) {
          items.take();
          ran.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(items.items, 0);
    EXPECT_TRUE(items.waiting.empty());
  }

  // With tasks in the queue, which are run, or taken away unrun.
  void shut_down_and_begin_anew() {
    std::vector<std::unique_ptr<counted_task>> tasks(random() % 30);
    for (auto& each : tasks) {
      each = std::make_unique<counted_task>(ran);
      ++asked;
      ASSERT_TRUE(pool->submit(*each));
    }
    if (random() % 2 == 0) {
      // Nested tasks delete themselves when they run, so those have to.
      for (task_list taken = pool->take_all(); task* const node = taken.pop();) {
        if (auto* const mine = dynamic_cast<counted_task*>(node)) {
          mine->state.cancel();
          ++cancelled;
        } else {
          node->run();
        }
      }
    }
    pool->shut_down();
    drained.clear();
    begin();
  }

  void begin() {
    const thread_pool::options options{.max_workers = 1 + random() % 4, .spins = random() % 2 == 0};
    pool = std::make_unique<cached_pool>(options, cached_pool::work_without_hooks, cache);
  }

  std::mt19937_64 random{from_environment("TRIGA_STRESS_SEED", 1)};
  thread_cache cache;
  std::atomic<std::uint64_t> ran{0};
  std::uint64_t asked = 0;
  std::uint64_t cancelled = 0;
  std::vector<std::unique_ptr<counted_task>> drained;  // a worker may still be about to leave run()
  std::unique_ptr<cached_pool> inner = std::make_unique<cached_pool>(thread_pool::options{.max_workers = 2},
                                                                     cached_pool::work_without_hooks, cache);
  std::unique_ptr<cached_pool> pool;
};

TEST_F(ExecStress, CountsAddUp) {
  const std::uint64_t wanted = from_environment("TRIGA_STRESS_TASKS", 10'000);
  begin();
  while (asked < wanted) {
    switch (random() % 10) {
      case 0:
      case 1:
      case 2:
      case 3:
        submit_and_perhaps_take_back();
        break;
      case 4:
      case 5:
        submit_nested();
        break;
      case 6:
      case 7:
        start_and_join_threads();
        break;
      case 8:
        hand_items_over();
        break;
      default:
        shut_down_and_begin_anew();
    }
  }
  pool->shut_down();
  inner->shut_down();
  EXPECT_EQ(ran.load() + cancelled, asked);
  std::printf("%llu tasks asked for, %llu ran, %llu taken back\n", static_cast<unsigned long long>(asked),
              static_cast<unsigned long long>(ran.load()), static_cast<unsigned long long>(cancelled));
}

}  // namespace
}  // namespace triga::exec
