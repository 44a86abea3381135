// SPDX-License-Identifier: MIT
#include "runtime/exec/cached_pool.h"

#include <climits>
#include <new>
#include <system_error>

namespace triga::exec {

// Made for each worker thread; deletes itself when the thread is back in the cache.
struct cached_pool::worker final : thread_job {
  explicit worker(cached_pool& its_pool) noexcept : pool(its_pool) {}

  void run() override { pool.body_(pool.pool_); }

  void parked() noexcept override {
    sync::futex_word& threads = pool.threads_;
    delete this;
    // release: shut_down() promises that what the worker did is visible. The pool may be gone after this
    // line; waking an address that nobody sleeps on any more does no harm.
    if (threads.fetch_sub(1, std::memory_order_release) == 1) sync::futex_wake(threads, INT_MAX);
  }

  cached_pool& pool;
};

cached_pool::cached_pool(thread_pool::options options, worker_body body, thread_cache& cache)
    : pool_(options), body_(std::move(body)), cache_(cache) {}

void cached_pool::work_without_hooks(thread_pool& pool) {
  no_hooks hooks;
  pool.work(hooks);
}

bool cached_pool::submit(task& node) {
  switch (pool_.submit(node)) {
    case submit_status::accepted:
      return true;
    case submit_status::closed:
    case submit_status::full:
      return false;
    case submit_status::needs_worker:
      break;
  }
  if (const int error = start_worker(); error != 0) {
    pool_.worker_not_started();
    if (threads_.load(std::memory_order_relaxed) == 0 && pool_.take_back(node)) {
      throw std::system_error(error, std::generic_category(), "cannot start a worker thread");
    }
  }
  return true;
}

int cached_pool::start_worker() noexcept {
  auto* const made = new (std::nothrow) worker(*this);
  if (made == nullptr) return ENOMEM;
  threads_.fetch_add(1, std::memory_order_relaxed);  // relaxed: start() orders it before the worker
  auto started = cache_.start(*made);
  if (started) return 0;  // the lease ends here: nobody compares the ids of these threads
  threads_.fetch_sub(1, std::memory_order_relaxed);
  delete made;
  return started.error();
}

void cached_pool::shut_down() noexcept {
  pool_.close();
  for (;;) {
    const std::uint32_t threads = threads_.load(std::memory_order_acquire);  // acquire: pairs with parked()
    if (threads == 0) return;
    sync::futex_wait(threads_, threads, never);
  }
}

}  // namespace triga::exec
