// SPDX-License-Identifier: MIT
#include "runtime/trace/counters.h"

#include <mutex>
#include <new>

namespace triga::trace {
namespace {

// A thread counts millions of times a second and is asked seldom. So each thread has a shard that only it
// writes and that snapshot() may read at any time; a thread that ends folds its shard into `ended`.
struct shard {
  thread_values values{};
  shard* next = nullptr;
  shard* previous = nullptr;
};

struct registry {
  std::mutex mutex;  // guards living, ended and the links of every shard
  shard* living = nullptr;
  counter_values ended{};
};

// Never destroyed: threads may still count while static destructors run.
registry& the_registry() noexcept {
  alignas(registry) static std::byte storage[sizeof(registry)];
  static registry* const instance = new (storage) registry;
  return *instance;
}

struct thread_shard : shard {
  thread_shard() noexcept {
    registry& all = the_registry();
    const std::lock_guard lock(all.mutex);
    next = all.living;
    if (next != nullptr) next->previous = this;
    all.living = this;
  }
  thread_shard(const thread_shard&) = delete;
  thread_shard& operator=(const thread_shard&) = delete;
  ~thread_shard() {
    registry& all = the_registry();
    const std::lock_guard lock(all.mutex);
    (previous != nullptr ? previous->next : all.living) = next;
    if (next != nullptr) next->previous = previous;
    for (std::size_t i = 0; i < counter_count; ++i) all.ended[i] += values[i].load(std::memory_order_relaxed);
  }
};

thread_shard& this_threads_shard() noexcept {
  thread_local thread_shard mine;
  return mine;
}

}  // namespace

thread_values& detail::this_thread::make() noexcept {
  known_ = &this_threads_shard().values;
  return *known_;
}

counter_values snapshot() {
  registry& all = the_registry();
  const std::lock_guard lock(all.mutex);
  counter_values sums = all.ended;
  for (const shard* each = all.living; each != nullptr; each = each->next) {
    for (std::size_t i = 0; i < counter_count; ++i)
      sums[i] += each->values[i].load(std::memory_order_relaxed);
  }
  return sums;
}

void reset_after_fork_in_child() noexcept {
  registry& all = the_registry();
  // The mutex may have been held by a thread that does not exist here: a new one, in place.
  new (&all.mutex) std::mutex;
  shard& mine = this_threads_shard();
  for (auto& value : mine.values) value.store(0, std::memory_order_relaxed);
  mine.next = mine.previous = nullptr;
  all.living = &mine;
  all.ended = {};
}

}  // namespace triga::trace
