// SPDX-License-Identifier: MIT
// process_pool: what comes back from the workers, and whom it concerns.
#include <algorithm>
#include <utility>

#include "runtime/proc/process_pool.h"
#include "runtime/trace/counters.h"

namespace triga::proc {

void process_pool::drain(lock_type& lock) {
  bool changed = false;
  for (std::size_t i = 0; i < workers_.size(); ++i) changed |= drain_worker(*workers_[i]);
  changed |= dispatch(lock);
  balance();
  end_expired();
  if (changed) wake_waiters();
  stop_when_done();
}

void process_pool::collect() {
  lock_type lock(mutex_);
  drain(lock);
}

void process_pool::wake_waiters() {
  if (sleeping_leader_ != nullptr && (*sleeping_leader_)()) leader_place_.bell().ring();
  for (follower* each : followers_) {
    if (each->word.load(std::memory_order_relaxed) != 0 || !(*each->ready)()) continue;
    each->word.store(1, std::memory_order_release);
    sync::futex_wake(each->word, 1);
  }
}

bool process_pool::deliver(pool_task& task, outcome&& end) {
  --outstanding_;
  if (task.to->prompt()) --prompt_outstanding_;
  if (task.terms.time_limit.count() != 0) --timed_outstanding_;
  task.to->tasks.erase(task.index);
  return deliver_to(*task.to, task.index, std::move(end));
}

void process_pool::conclude(receiver& to, std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  deliver_to(to, index, outcome{});
  wake_waiters();
}

void process_pool::reconsider() {
  const std::lock_guard lock(mutex_);
  wake_waiters();
}

bool process_pool::deliver_to(receiver& to, std::uint64_t index, outcome&& end) {
  const delivery told = to.deliver(index, std::move(end));
  if (told.notice != 0) {
    if (notices_.empty() || notices_.back() != told.notice) notices_.push_back(told.notice);
    // A thread that leads does not attend to notices: the collecting one has to wake up.
    wake_collector();
  }
  return told.wake;
}

// True if something became ready.
bool process_pool::accept(pool_worker& worker, message&& received) {
  trace::count(trace::counter::messages_received);
  if (received.tag == ready_tag) {
    worker.up = true;
    failed_starts_ = 0;
    return false;
  }
  const task_pointer task = worker.finish(received.sequence);
  if (task == nullptr) {
    damaged(worker);
    return false;
  }
  trace::count(trace::counter::process_tasks_run);
  outcome end;
  end.what = outcome::kind::answered;
  end.answer = std::move(received);
  return deliver(*task, std::move(end));
}

bool process_pool::drain_worker(pool_worker& worker) {
  bool changed = false;
  while (!worker.corrupt) {
    message received;
    const shm::ring_status status = worker.next(received);
    if (status == shm::ring_status::would_block) break;
    if (status != shm::ring_status::done) {
      damaged(worker);
      break;
    }
    changed |= accept(worker, std::move(received));
  }
  return changed;
}

}  // namespace triga::proc
