// SPDX-License-Identifier: MIT
// The pools that pool.cpp measures, each behind post(function), which queues it; chosen by -DPOOL_<NAME>.
#pragma once

#if defined(POOL_TRIGA)
#include "runtime/exec/cached_pool.h"

class pool {
 public:
  explicit pool(unsigned workers) : pool_({.max_workers = workers}) {}
  template <class Function>
  void post(Function function) {
    pool_.post(std::move(function));
  }

 private:
  triga::exec::cached_pool pool_;
};

#elif defined(POOL_TBB)
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

class pool {
 public:
  // No slot is kept for the thread that made it: it does not help, as in the other pools.
  // oneTBB counts that thread among those of the machine, hence one more.
  explicit pool(unsigned workers)
      : threads_(tbb::global_control::max_allowed_parallelism, workers + 1),
        arena_(static_cast<int>(workers), 0) {}
  template <class Function>
  void post(Function function) {
    arena_.enqueue(std::move(function));
  }

 private:
  tbb::global_control threads_;
  tbb::task_arena arena_;
};

#elif defined(POOL_TASKFLOW)
#include <taskflow/taskflow.hpp>

class pool {
 public:
  explicit pool(unsigned workers) : executor_(workers) {}
  template <class Function>
  void post(Function function) {
    executor_.silent_async(std::move(function));
  }

 private:
  tf::Executor executor_;
};

#elif defined(POOL_BS)
#include <BS_thread_pool.hpp>

class pool {
 public:
  explicit pool(unsigned workers) : pool_(workers) {}
  template <class Function>
  void post(Function function) {
    pool_.detach_task(std::move(function));
  }

 private:
  BS::thread_pool<> pool_;
};

#else  // the textbook's: a deque, a mutex and a condition variable of the C++ standard library
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

class pool {
 public:
  explicit pool(unsigned workers) {
    for (unsigned i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  }
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;
  ~pool() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    for (std::thread& each : threads_) each.join();
  }
  template <class Function>
  void post(Function function) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.emplace_back(std::move(function));
    }
    changed_.notify_one();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};
#endif
