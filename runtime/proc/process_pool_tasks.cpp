// SPDX-License-Identifier: MIT
// process_pool: who gets which task, and taking tasks back.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/proc/process_pool.h"

namespace triga::proc {
namespace {

// The content of a kept task, as spans.
class kept_content {
 public:
  explicit kept_content(const pool_task& task)
      : body_(task.body), buffers_(task.buffers.begin(), task.buffers.end()) {}
  [[nodiscard]] content get() const noexcept { return {.body = {&body_, 1}, .buffers = buffers_}; }

 private:
  byte_span body_;
  std::vector<byte_span> buffers_;
};

std::size_t size_of(const content& what) noexcept {
  std::size_t size = what.body_size();
  for (const byte_span& buffer : what.buffers) size += buffer.size();
  return size;
}

}  // namespace

process_pool::worker_pointer process_pool::choose(bool large) {
  // An idle worker that is up; one that is still starting; else, as tasks can be taken back, the one with
  // least to do.
  worker_pointer best;
  for (const auto& each : workers_) {
    if (!each->accepts(large ? 1 : options_.depth)) continue;
    if (each->load() == 0 && each->up) return each;
    const auto rank = [](const pool_worker& one) { return one.load() == 0 ? 0 : one.load() + 1; };
    if (!best || rank(*each) < rank(*best)) best = each;
  }
  return best;
}

void process_pool::submit(const content& what, std::shared_ptr<receiver> to, std::uint64_t index,
                          const task_terms& terms) {
  auto task = std::make_unique<pool_task>();
  task->to = std::move(to);
  task->index = index;
  task->terms = terms;
  task->size = size_of(what);
  task->large = what.body_size() > inline_limit() || !what.buffers.empty();
  // Kept, as the task may have to go elsewhere; a large one is read back from the slab if it has to, which is
  // not possible any more once a worker has begun it.
  if (!task->large || terms.retries != 0) task->keep(what);
  lock_type lock(mutex_);
  ++outstanding_;
  if (task->to->prompt()) ++prompt_outstanding_;
  task->to->tasks.put(index, task.get());
  if (terms.time_limit.count() != 0) {
    ++timed_outstanding_;
    reckon_with_limit();
  }
  // A submitter that is ahead of the workers collects for them, so that neither rings nor workers stand
  // still.
  if (!backlog_.empty() && !leading_ && outstanding_ % 16 == 0) drain(lock);
  if (backlog_.empty() && give(lock, task, what)) return;
  if (!task->whole) task->keep(what);
  put_off(std::move(task));
}

// Whoever sleeps has to know of a time limit that may end while it does.
void process_pool::reckon_with_limit() noexcept {
  if (sleeping_leader_ != nullptr) leader_place_.bell().ring();
  wake_collector();
}

void process_pool::put_off(task_pointer task) {
  backlog_bytes_ += task->size;
  backlog_.push_back(std::move(task));
}

void process_pool::put_first(task_pointer task) {
  backlog_bytes_ += task->size;
  backlog_.push_front(std::move(task));
}

task_pointer process_pool::take_waiting(pool_task& task) {
  backlog_bytes_ -= task.size;
  return backlog_.remove(task);
}

// True if the task has gone to a worker, or has ended because it cannot.
bool process_pool::give(lock_type& lock, task_pointer& task, const content& what) {
  for (;;) {
    const worker_pointer worker = choose(task->large);
    if (!worker) return false;
    if (!task->large) return worker->offer(task);
    if (send_large(lock, worker, task, what)) return true;
  }
}

void process_pool::unsendable(pool_task& task, int error) {
  outcome end;
  end.what = outcome::kind::unsendable;
  end.error = error;
  if (deliver(task, std::move(end))) wake_waiters();
}

// False if the worker died meanwhile: another one has to be found.
bool process_pool::send_large(lock_type& lock, const worker_pointer& worker, task_pointer& task,
                              const content& what) {
  worker->sending = true;
  lock.unlock();
  auto ready = worker->stage(*task, what, inline_limit());
  lock.lock();
  worker->sending = false;
  if (!ready) {
    unsendable(*task, ready.error());
    return true;
  }
  if (worker->dead || worker->corrupt) return false;
  if (!task->whole && what.body_size() <= inline_limit()) {
    task->keep({.body = what.body, .buffers = {}});
    task->whole = false;
  }
  // The ring is empty (a large task goes to an idle worker only), so it can fail for too many buffers alone.
  if (!worker->post(task, *ready)) unsendable(*task, EMSGSIZE);
  return true;
}

// True if tasks left the backlog.
bool process_pool::dispatch(lock_type& lock) {
  bool moved = false;
  while (!backlog_.empty() && choose(backlog_.front()->large)) {
    task_pointer task = take_waiting(*backlog_.front());
    const bool limited = task->terms.time_limit.count() != 0;
    if (!(task->large ? dispatch_large(lock, task) : give(lock, task, {}))) {
      put_first(std::move(task));
      return moved;
    }
    if (limited) reckon_with_limit();
    moved = true;
  }
  return moved;
}

// The content leaves the task for the slab, unless it is to be kept for another try.
bool process_pool::dispatch_large(lock_type& lock, task_pointer& task) {
  pool_task source;
  source.body = std::move(task->body);
  source.buffers = std::move(task->buffers);
  task->body.clear();
  task->buffers.clear();
  task->whole = false;
  const kept_content kept(source);
  if (task->terms.retries != 0) task->keep(kept.get());
  if (give(lock, task, kept.get())) return true;
  if (!task->whole) task->keep(kept.get());
  return false;
}

void process_pool::balance() {
  if (!backlog_.empty()) return;
  for (const auto& each : workers_) {
    if (each->load() == 0 && each->up && each->accepts(1)) steal_for(*each);
  }
}

// Takes half of what the busiest worker has not begun.
bool process_pool::steal_for(pool_worker& idle) {
  pool_worker* busiest = nullptr;
  for (const auto& each : workers_) {
    // A worker that is up will begin its only task at once: leave it that.
    if (each.get() == &idle || each->load() < (each->up ? 2U : 1U)) continue;
    if (busiest == nullptr || each->load() > busiest->load()) busiest = each.get();
  }
  if (busiest == nullptr) return false;
  task_list taken;
  for (std::size_t wanted = (busiest->load() + 1) / 2; wanted != 0; --wanted) {
    task_pointer task = busiest->take_back();
    if (task == nullptr) break;
    taken.push_front(std::move(task));
  }
  const bool any = !taken.empty();
  while (task_pointer task = taken.pop_front()) {
    if (task->large || !idle.accepts(options_.depth) || !idle.offer(task)) put_off(std::move(task));
  }
  return any;
}

void process_pool::end_cancelled(pool_task& task) {
  if (deliver(task, outcome{})) wake_waiters();
  stop_when_done();
}

bool process_pool::cancel(receiver& to, std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  pool_task* const found = to.tasks.find(index);
  if (found == nullptr) return false;
  const task_pointer task =
      found->worker != nullptr ? found->worker->take_back(*found) : take_waiting(*found);
  if (task == nullptr) return false;
  end_cancelled(*task);
  return true;
}

bool process_pool::cancel_running(receiver& to, std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  const pool_task* const found = to.tasks.find(index);
  return found != nullptr && found->worker != nullptr &&
         found->worker->condemn(*found, end_reason::cancelling);
}

bool process_pool::is_running(const receiver& to, std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  const pool_task* const found = to.tasks.find(index);
  return found != nullptr && found->worker != nullptr && found->worker->is_taken(*found);
}

void process_pool::cancel_waiting() {
  const std::lock_guard lock(mutex_);
  task_list waiting(std::move(backlog_));
  backlog_bytes_ = 0;
  for (const auto& worker : workers_) {
    while (worker->load() > 1) {
      task_pointer task = worker->take_back();
      if (task == nullptr) break;
      waiting.push_back(std::move(task));
    }
  }
  while (const task_pointer task = waiting.pop_front()) deliver(*task, outcome{});
  wake_waiters();
  stop_when_done();
}

// When the first of the tasks with a time limit will have run for so long, as far as can be told now: one
// that no worker has taken yet cannot be before its whole limit has passed.
time_point process_pool::next_expiry(time_point now) noexcept {
  time_point first = never;
  if (timed_outstanding_ == 0) return first;
  for (const auto& worker : workers_) {
    for (const pool_task* task = worker->in_flight().front(); task != nullptr;
         task = task_list::after(*task)) {
      if (task->terms.time_limit.count() != 0) first = std::min(first, worker->expiry_of(*task, now));
    }
  }
  return first;
}

void process_pool::end_expired() noexcept {
  if (timed_outstanding_ == 0) return;
  const time_point now = monotonic_clock::now();
  for (const auto& worker : workers_) {
    const pool_task* const task = worker->in_flight().front();
    if (task == nullptr || task->terms.time_limit.count() == 0 || worker->why != end_reason::its_own)
      continue;
    if (worker->expiry_of(*task, now) <= now) worker->condemn(*task, end_reason::timeout);
  }
}

}  // namespace triga::proc
