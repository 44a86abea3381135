// SPDX-License-Identifier: MIT
// A pool of C++ tasks by itself: what a task costs, and how late a sleeping worker is.
//
//   pool_NAME empty|fork_join|nested|unbalanced|wake_p50|wake_p99 COUNT
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "../common.h"
#include "pools.h"

namespace {

using clock_type = std::chrono::steady_clock;

// Counts down as tasks end; the main thread sleeps until it is at zero.
class countdown {
 public:
  explicit countdown(long count) : left_(count) {}
  void done() {
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_all();
  }
  void wait() {
    for (long left = left_.load(); left != 0; left = left_.load()) left_.wait(left);
  }

 private:
  std::atomic<long> left_;
};

// One thread submits, the workers run.
void empty(pool& with, long count) {
  countdown left(count);
  for (long i = 0; i < count; ++i) with.post([&left] { left.done(); });
  left.wait();
}

// A binary tree of tasks, each of which submits its two children; `count` is the number of tasks.
void fork(pool& with, countdown& left, long size) {
  if (size > 1) {
    const long first = (size - 1) / 2;
    const long second = size - 1 - first;
    if (first > 0) with.post([&with, &left, first] { fork(with, left, first); });
    with.post([&with, &left, second] { fork(with, left, second); });
  }
  left.done();
}

void fork_join(pool& with, long count) {
  countdown left(count);
  with.post([&] { fork(with, left, count); });
  left.wait();
}

// Chains: each task submits the next one; as many chains as workers.
void link(pool& with, countdown& left, long length) {
  if (length > 1) with.post([&with, &left, length] { link(with, left, length - 1); });
  left.done();
}

void nested(pool& with, long count, unsigned workers) {
  const long each = std::max(1L, count / static_cast<long>(workers));
  countdown left(each * static_cast<long>(workers));
  for (unsigned i = 0; i < workers; ++i) with.post([&with, &left, each] { link(with, left, each); });
  left.wait();
}

void work_for(std::chrono::nanoseconds time) {
  const auto end = clock_type::now() + time;
  while (clock_type::now() < end) {
  }
}

// One task of sixteen takes 160 us, the others 1 us.
void unbalanced(pool& with, long count) {
  countdown left(count);
  for (long i = 0; i < count; ++i) {
    const std::chrono::nanoseconds time(i % 16 == 0 ? 160'000 : 1'000);
    with.post([&left, time] {
      work_for(time);
      left.done();
    });
  }
  left.wait();
}

// From a submit to the task's begin, where every worker has slept for a while: the quantile in seconds.
double wake(pool& with, long count, double quantile) {
  std::vector<double> late;
  for (long i = 0; i < count; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    countdown left(1);
    clock_type::time_point begun;
    const auto submitted = clock_type::now();
    with.post([&] {
      begun = clock_type::now();
      left.done();
    });
    left.wait();
    late.push_back(std::chrono::duration<double>(begun - submitted).count());
  }
  std::sort(late.begin(), late.end());
  return late[static_cast<std::size_t>(quantile * static_cast<double>(late.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: pool_NAME SCENARIO COUNT\n", stderr), 2;
  const std::string_view what = argv[1];
  const long count = std::max(4L, std::atol(argv[2]));
  const unsigned workers = std::max(2U, std::thread::hardware_concurrency());
  pool with(workers);
  empty(with, 1000);  // its threads are there
  const std::int64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  if (what == "wake_p50" || what == "wake_p99") {
    const double late = wake(with, count, what == "wake_p50" ? 0.5 : 0.99);
    print_result(1, static_cast<std::int64_t>(late * 1e9),
                 (nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count);
    return 0;
  }
  const auto start = clock_type::now();
  if (what == "empty") {
    empty(with, count);
  } else if (what == "fork_join") {
    fork_join(with, count);
  } else if (what == "nested") {
    nested(with, count, workers);
  } else if (what == "unbalanced") {
    unbalanced(with, count);
  } else {
    return std::fputs("unknown scenario\n", stderr), 2;
  }
  const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(clock_type::now() - start);
  print_result(count, took.count(), nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  return 0;
}
