// SPDX-License-Identifier: MIT
#include "runtime/exec/thread_pool.h"

#include <climits>
#include <new>

#include "runtime/base/scope_exit.h"
#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"

namespace triga::exec {

submit_status thread_pool::submit(task& node) {
  std::unique_lock lock(mutex_);
  if (closed_) return submit_status::closed;
  queue_.push(node);
  queued_.store(queue_.size(),
                std::memory_order_relaxed);  // relaxed: a spinner that sees it late only spins longer
  if (idle_tokens_ != 0) {
    --idle_tokens_;
  } else if (started_ < options_.max_workers) {
    ++started_;
    return submit_status::needs_worker;
  }
  if (parked_ != 0 && !wake_pending_ && !spinning_) {
    wake_one_unlocking(lock);
  } else {
    lock.unlock();
    trace::count(trace::counter::wakes_saved);
  }
  return submit_status::accepted;
}

void thread_pool::worker_not_started() noexcept {
  const std::lock_guard lock(mutex_);
  --started_;
}

void thread_pool::wake_one_unlocking(std::unique_lock<std::mutex>& lock) noexcept {
  wake_pending_ = true;
  // relaxed: the mutex orders it; the kernel compares the word itself.
  signal_.fetch_add(1, std::memory_order_relaxed);
  lock.unlock();
  sync::futex_wake(signal_, 1);
  trace::count(trace::counter::wakes);
}

void thread_pool::work(thread_hooks& hooks) {
  enter();
  // Also when an attach is unwound by pthread_exit.
  const scope_exit left([this]() noexcept { leave(); });
  worker self;
  while (wait_for_task(self)) {
    hooks.attach();
    run_turn(self, hooks);
    hooks.detach();
  }
}

void thread_pool::run_turn(worker& self, thread_hooks& hooks) {
  while (task* const node = next_task(self)) {
    node->run();
    trace::count(trace::counter::tasks_run);
    if (options_.idle == idle_rule::after_each_task) give_idle_token();
    if (hooks.turn_is_over()) return;
  }
}

// The oldest task. If more are left and others sleep, one of them is woken before this one begins: a task may
// block.
task* thread_pool::next_task(worker& self) {
  std::unique_lock lock(mutex_);
  if (std::exchange(self.woken, false)) wake_pending_ = false;
  task* const node = queue_.pop();
  if (node == nullptr) {
    if (options_.idle == idle_rule::when_queue_empty && !self.gave_token) {
      self.gave_token = true;
      ++idle_tokens_;
    }
    return nullptr;
  }
  self.gave_token = false;
  queued_.store(queue_.size(), std::memory_order_relaxed);
  if (!queue_.empty() && parked_ != 0 && !wake_pending_) wake_one_unlocking(lock);
  return node;
}

// Detached. True: there may be a task. False: closed and empty.
bool thread_pool::wait_for_task(worker& self) {
  for (bool may_spin = options_.spins;; may_spin = false) {
    std::unique_lock lock(mutex_);
    if (!queue_.empty()) return true;
    if (closed_) return false;
    if (options_.idle == idle_rule::when_queue_empty && !self.gave_token) {
      self.gave_token = true;
      ++idle_tokens_;
    }
    if (may_spin && !spinning_) {
      if (spin_for_task(lock)) return true;
      continue;
    }
    ++parked_;
    wake_pending_ = false;  // if it was for this worker, somebody else took the task
    const std::uint32_t generation =
        signal_.load(std::memory_order_relaxed);  // relaxed: read under the mutex
    lock.unlock();
    sync::futex_wait(signal_, generation, never);
    lock.lock();
    --parked_;
    self.woken = true;
  }
}

// Lets go of the lock. True: there was a task.
bool thread_pool::spin_for_task(std::unique_lock<std::mutex>& lock) noexcept {
  spinning_ = true;
  lock.unlock();
  bool found = false;
  {
    sync::spin turn(sync::waiting_for::task);
    // relaxed: the task itself is taken under the mutex.
    while (!found && turn.again()) found = queued_.load(std::memory_order_relaxed) != 0 && turn.succeeded();
  }
  lock.lock();
  spinning_ = false;
  return found;
}

void thread_pool::enter() noexcept { present_.fetch_add(1, std::memory_order_relaxed); }

void thread_pool::leave() noexcept {
  // release: wait_for_workers() promises that what the workers did is visible, and the pool may be freed
  // right after.
  if (present_.fetch_sub(1, std::memory_order_release) == 1) sync::futex_wake(present_, INT_MAX);
}

void thread_pool::close() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    signal_.fetch_add(1, std::memory_order_relaxed);
  }
  sync::futex_wake(signal_, INT_MAX);
}

task* thread_pool::try_take() noexcept {
  const std::lock_guard lock(mutex_);
  task* const node = queue_.pop();
  queued_.store(queue_.size(), std::memory_order_relaxed);
  return node;
}

bool thread_pool::take_back(task& node) noexcept {
  const std::lock_guard lock(mutex_);
  const bool found = queue_.remove(node);
  queued_.store(queue_.size(), std::memory_order_relaxed);
  return found;
}

task_list thread_pool::take_all() noexcept {
  const std::lock_guard lock(mutex_);
  queued_.store(0, std::memory_order_relaxed);
  return std::move(queue_);
}

bool thread_pool::wait_for_workers(time_point deadline) noexcept {
  for (;;) {
    const std::uint32_t present = present_.load(std::memory_order_acquire);  // acquire: pairs with leave()
    if (present == 0) return true;
    if (sync::futex_wait(present_, present, deadline) == sync::wait_status::timed_out) return false;
  }
}

bool thread_pool::take_idle_token() noexcept {
  const std::lock_guard lock(mutex_);
  if (idle_tokens_ == 0) return false;
  --idle_tokens_;
  return true;
}

void thread_pool::give_idle_token() noexcept {
  const std::lock_guard lock(mutex_);
  ++idle_tokens_;
}

std::size_t thread_pool::queued() const noexcept {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

std::size_t thread_pool::workers_started() const noexcept {
  const std::lock_guard lock(mutex_);
  return started_;
}

bool thread_pool::closed() const noexcept {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void thread_pool::reset_in_child() noexcept {
  new (&mutex_) std::mutex;
  idle_tokens_ = started_ = parked_ = 0;
  wake_pending_ = spinning_ = false;
  queued_.store(0, std::memory_order_relaxed);
  present_.store(0, std::memory_order_relaxed);
  orphans_ = std::move(queue_);
}

}  // namespace triga::exec
