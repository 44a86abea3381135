// SPDX-License-Identifier: MIT
#include "runtime/trace/counters.h"

#include <atomic>
#include <mutex>
#include <new>

namespace triga::trace {
namespace {

// A thread counts millions of times a second and is asked seldom. So each thread has a shard that only it
// writes (relaxed load and store, no locked instruction) and that snapshot() may read at any time; a thread
// that ends folds its shard into `ended`.
struct shard {
  std::array<std::atomic<std::uint64_t>, counter_count> values{};
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

thread_shard& make_this_threads() noexcept {
  thread_local thread_shard mine;
  return mine;
}

thread_shard& this_thread() noexcept {
  // Initial-exec: one instruction to read, where `mine` above takes two calls, several times in every turn of
  // a loop. glibc has room for as much in libraries that are loaded late.
  [[gnu::tls_model("initial-exec")]] static thread_local thread_shard* known = nullptr;
  if (known == nullptr) known = &make_this_threads();
  return *known;
}

}  // namespace

void count(counter which, std::uint64_t amount) noexcept {
  auto& value = this_thread().values[static_cast<std::size_t>(which)];
  // Relaxed: the only writer is this thread, and readers want a sum, not an order.
  value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
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
  shard& mine = this_thread();
  for (auto& value : mine.values) value.store(0, std::memory_order_relaxed);
  mine.next = mine.previous = nullptr;
  all.living = &mine;
  all.ended = {};
}

}  // namespace triga::trace
