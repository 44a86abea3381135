// SPDX-License-Identifier: MIT
#include "runtime/exec/thread_pool.h"

#include <climits>
#include <new>
#include <utility>

#include "runtime/base/scope_exit.h"
#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"

namespace triga::exec {

namespace {

// The pool whose work() this thread is in.
thread_local const thread_pool* working_for = nullptr;

// An attach that takes longer had to wait for somebody else's turn to end.
constexpr nanoseconds slow_attach = std::chrono::microseconds(200);

}  // namespace

submit_status thread_pool::submit(task& node) {
  std::unique_lock lock(mutex_);
  if (closed_) return submit_status::closed;
  if (options_.max_queued != 0 && queue_.size() >= options_.max_queued && working_for != this) {
    return submit_status::full;
  }
  queue_.push(node);
  queued_.store(queue_.size(),
                std::memory_order_relaxed);  // relaxed: a spinner that sees it late only spins longer
  if (node.extras() != nullptr && node.extras()->deadline < attendant_until_) wake_attendant();
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

// Requires the mutex: whoever sleeps in attend() is to look again.
void thread_pool::wake_attendant() noexcept {
  if (!std::exchange(attendant_sleeps_, false)) return;
  attendance_.fetch_add(1, std::memory_order_relaxed);  // relaxed: the mutex orders it
  sync::futex_wake(attendance_, 1);
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

thread_pool::left thread_pool::work(thread_hooks& hooks) {
  enter();
  // Also when an attach is unwound by pthread_exit.
  const scope_exit leaving([this, outer = std::exchange(working_for, this)]() noexcept {
    working_for = outer;
    leave();
  });
  worker self;
  left why = left::closed;
  while (wait_for_task(self, why)) {
    if (self.begins_detached) {
      run_detached_parts(self);
      // Others had them, or the attendant has: there is nothing to attach for.
      if (self.to_finish == nullptr) continue;
    }
    attach(self, hooks);
    run_tasks(self, hooks);
    hooks.detach();
  }
  return why;
}

// Those at the front of the queue, one after the other. What is not handed over run_tasks() finishes: never
// is one kept back while another runs, which may take an hour or wait for what the first one's outcome
// causes.
void thread_pool::run_detached_parts(worker& self) {
  while (task* const node = next_task(self, part::detached)) {
    node->extras()->detached->run_detached();
    if (!hand_over(*node)) {
      self.to_finish = node;
      return;
    }
  }
}

// To the attendant, if there is one, attaching is slow, and there are more detached parts to run meanwhile.
bool thread_pool::hand_over(task& node) noexcept {
  const std::lock_guard lock(mutex_);
  if (!attended_ || !attaches_slowly_ || queue_.empty() || !queue_.front()->runs_detached()) return false;
  finishing_.push(node);
  wake_attendant();
  return true;
}

void thread_pool::attach(const worker& self, thread_hooks& hooks) {
  if (self.to_finish == nullptr) return hooks.attach();
  const time_point before = monotonic_clock::now();
  hooks.attach();
  const nanoseconds took = monotonic_clock::now() - before;
  const std::lock_guard lock(mutex_);
  attaches_slowly_ = took > slow_attach;
}

void thread_pool::run_tasks(worker& self, thread_hooks& hooks) {
  if (task* const node = std::exchange(self.to_finish, nullptr)) run_attached(*node);
  while (task* const node = next_task(self, part::attached)) {
    run_attached(*node);
    hooks.after_task();
  }
}

void thread_pool::run_attached(task& node) {
  node.run();
  trace::count(trace::counter::tasks_run);
  if (options_.idle == idle_rule::after_each_task) give_idle_token();
}

// The task whose turn it is, if it begins with the part that is wanted. If more are left and others sleep,
// one of them is woken before this one begins: a task may block.
task* thread_pool::next_task(worker& self, part wanted) {
  std::unique_lock lock(mutex_);
  if (std::exchange(self.woken, false)) wake_pending_ = false;
  task* const node = queue_.front();
  if (node == nullptr) {
    if (wanted == part::attached) offer_token(self);
    return nullptr;
  }
  if (node->runs_detached() != (wanted == part::detached)) return nullptr;
  queue_.pop();
  self.gave_token = false;
  note_taken();
  if (!queue_.empty() && parked_ != 0 && !wake_pending_) wake_one_unlocking(lock);
  return node;
}

// Requires the mutex: one task less is queued.
void thread_pool::note_taken() noexcept {
  queued_.store(queue_.size(), std::memory_order_relaxed);
  if (space_waiters_ != 0) offer_space();
  if (closed_ && queue_.next_deadline() == never) wake_attendant();
}

void thread_pool::offer_token(worker& self) noexcept {
  if (options_.idle != idle_rule::when_queue_empty || self.gave_token) return;
  self.gave_token = true;
  ++idle_tokens_;
}

// Detached. True: there may be a task. False: the worker is to leave.
bool thread_pool::wait_for_task(worker& self, left& why) {
  time_point patience = options_.idle_timeout == nanoseconds::max() ? never : time_point{};
  for (bool may_spin = options_.spins;; may_spin = false) {
    std::unique_lock lock(mutex_);
    if (const task* const next = queue_.front()) {
      self.begins_detached = next->runs_detached();
      return true;
    }
    if (closed_) return false;
    offer_token(self);
    if (may_spin && !spinning_) {
      spin_for_task(lock);
      continue;
    }
    if (patience == time_point{}) patience = deadline_after(options_.idle_timeout);
    if (patience != never && monotonic_clock::now() >= patience) {
      leave_idle();
      why = left::idle;
      return false;
    }
    park(self, lock, patience);
  }
}

// Lets go of the lock and sleeps.
void thread_pool::park(worker& self, std::unique_lock<std::mutex>& lock, time_point deadline) noexcept {
  ++parked_;
  wake_pending_ = false;  // if it was for this worker, somebody else took the task
  const std::uint32_t generation = signal_.load(std::memory_order_relaxed);  // relaxed: read under the mutex
  lock.unlock();
  sync::futex_wait(signal_, generation, deadline);
  lock.lock();
  --parked_;
  self.woken = true;
}

// Requires the mutex and an empty queue. The tokens never outnumber the workers that gave one and took no
// task since: one is only used up by a task that is queued, and none is given while a task is.
void thread_pool::leave_idle() noexcept {
  --started_;
  if (idle_tokens_ != 0) --idle_tokens_;
  wake_pending_ = false;
  trace::count(trace::counter::workers_left_idle);
}

// Lets go of the lock.
void thread_pool::spin_for_task(std::unique_lock<std::mutex>& lock) noexcept {
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
}

// Requires the mutex. Woken while it is held: this is the way of pools that are full.
void thread_pool::offer_space() noexcept {
  if (queue_.size() >= options_.max_queued) return;
  space_.fetch_add(1, std::memory_order_relaxed);  // relaxed: the mutex orders it
  sync::futex_wake(space_, 1);
}

sync::wait_status thread_pool::wait_for_space(time_point deadline) noexcept {
  std::unique_lock lock(mutex_);
  if (closed_ || queue_.size() < options_.max_queued) return sync::wait_status::woken;
  ++space_waiters_;
  const std::uint32_t generation = space_.load(std::memory_order_relaxed);  // relaxed: under the mutex
  lock.unlock();
  const sync::wait_status status = sync::futex_wait(space_, generation, deadline);
  lock.lock();
  --space_waiters_;
  // One that leaves may have been the one that was told of space.
  if (status != sync::wait_status::woken && space_waiters_ != 0) offer_space();
  return status;
}

task_list thread_pool::attend(nanoseconds attaching) noexcept {
  std::unique_lock lock(mutex_);
  attended_ = true;
  if (attaching != nanoseconds{}) attaches_slowly_ = attaching > slow_attach;
  for (;;) {
    task_list ready = queue_.take_expired(monotonic_clock::now());
    if (!ready.empty()) note_taken();
    while (task* const node = finishing_.pop()) ready.push(*node);
    if (!ready.empty()) return ready;
    const time_point next = queue_.next_deadline();
    if (closed_ && next == never) {
      attended_ = false;
      return {};
    }
    attendant_sleeps_ = true;
    attendant_until_ = next;
    const std::uint32_t generation = attendance_.load(std::memory_order_relaxed);  // relaxed: under the mutex
    lock.unlock();
    sync::futex_wait(attendance_, generation, next);
    lock.lock();
    attendant_sleeps_ = false;
  }
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
    space_.fetch_add(1, std::memory_order_relaxed);
    wake_attendant();
  }
  sync::futex_wake(signal_, INT_MAX);
  sync::futex_wake(space_, INT_MAX);
}

task* thread_pool::try_take() noexcept {
  const std::lock_guard lock(mutex_);
  task* const node = queue_.pop();
  note_taken();
  return node;
}

bool thread_pool::take_back(task& node) noexcept {
  const std::lock_guard lock(mutex_);
  const bool found = queue_.remove(node);
  note_taken();
  return found;
}

task_list thread_pool::take_all() noexcept {
  const std::lock_guard lock(mutex_);
  task_list all = queue_.take_all();
  note_taken();
  return all;
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

bool thread_pool::wants_attendant() const noexcept {
  const std::lock_guard lock(mutex_);
  return attaches_slowly_ && !attended_;
}

std::size_t thread_pool::queued() const noexcept {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

std::size_t thread_pool::space_waiters() const noexcept {
  const std::lock_guard lock(mutex_);
  return space_waiters_;
}

bool thread_pool::attaches_slowly() const noexcept {
  const std::lock_guard lock(mutex_);
  return attaches_slowly_;
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
  space_waiters_ = 0;
  wake_pending_ = spinning_ = attendant_sleeps_ = attended_ = false;
  queued_.store(0, std::memory_order_relaxed);
  present_.store(0, std::memory_order_relaxed);
  orphans_ = queue_.take_all();
  while (task* const node = finishing_.pop()) orphans_.push(*node);
}

}  // namespace triga::exec
