// SPDX-License-Identifier: MIT
// process_pool: the workers' life, and the end of it all. Who gets which task is in process_pool_tasks.cpp,
// what becomes of it in process_pool_results.cpp, waiting in process_pool_wait.cpp.
#include "runtime/proc/process_pool.h"

#include <algorithm>
#include <utility>

#include "runtime/proc/parked.h"
#include "runtime/trace/counters.h"

namespace triga::proc {

process_pool::process_pool(const pool_options& options) : options_(options) {}

process_pool::prepared process_pool::prepare_worker(std::uint64_t quota) {
  const std::lock_guard lock(mutex_);
  auto worker = std::make_shared<pool_worker>(next_id_, options_.channel, quota);
  link_descriptors descriptors = worker->descriptors();
  descriptors.leader = leader_place_.bell().descriptor();
  descriptors.collector = collector_place_.bell().descriptor();
  workers_.push_back(std::move(worker));
  return {next_id_++, descriptors};
}

process_pool::worker_pointer process_pool::find(std::uint64_t id) {
  const auto found =
      std::find_if(workers_.begin(), workers_.end(), [&](const auto& each) { return each->id() == id; });
  return found == workers_.end() ? nullptr : *found;
}

void process_pool::worker_started(std::uint64_t id, pid_t pid) {
  auto process = open_process(pid);
  lock_type lock(mutex_);
  const worker_pointer worker = find(id);
  if (!worker) return;
  worker->pid = pid;
  trace::count(trace::counter::processes_spawned);
  if (!process) {
    // It has ended and somebody has reaped it.
    bury(worker);
    return;
  }
  worker->process = std::move(*process);
  leader_place_.watch(worker->process, id);
  collector_place_.watch(worker->process, id);
  // Whoever sleeps now has to hear this worker too.
  worker->results().park(parked::word(leading_ ? parked::leader : parked::collector, 1));
  if (finishing_ && outstanding_ == 0) worker->ask_to_stop();
  dispatch(lock);
  balance();
}

void process_pool::discard_worker(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(workers_, [&](const auto& each) { return each->id() == id; });
}

void process_pool::damaged(pool_worker& worker) noexcept {
  worker.corrupt = true;
  worker.kill(end_reason::damage);
}

void process_pool::bury(const std::vector<std::uint64_t>& keys) {
  for (const std::uint64_t key : keys) {
    if (const worker_pointer worker = find(key)) bury(worker);
  }
}

departure process_pool::departure_of(const pool_worker& worker) {
  departure left;
  left.worker = worker.id();
  left.pid = worker.pid;
  left.was_ready = worker.up;
  left.was_done = worker.is_done();
  left.why = worker.why;
  if (worker.process) left.status = peek_exit(worker.process);
  return left;
}

void process_pool::bury(const worker_pointer& worker) {
  bool changed = drain_worker(*worker);  // what it sent before it died is valid
  const departure left = departure_of(*worker);
  if (worker->process) {
    leader_place_.forget(worker->process);
    collector_place_.forget(worker->process);
  }
  worker->dead = true;
  std::erase(workers_, worker);
  const pool_task* const first = worker->in_flight().front();
  const bool held_work = first != nullptr && worker->is_taken(*first);
  if (held_work || left.status.signalled) trace::count(trace::counter::processes_died);
  if (!worker->up) ++failed_starts_;
  departed_.push_back(left);
  task_list orphans;
  while (task_pointer task = worker->salvage()) {
    if (worker->is_taken(*task)) {
      changed |= end_taken(std::move(task), left, orphans);
    } else {
      orphans.push_back(std::move(task));
    }
  }
  while (!orphans.empty()) put_first(orphans.remove(*orphans.back()));
  if (changed) wake_waiters();
  wake_collector();
}

// What becomes of the task that a dead worker had taken. True if something became ready.
bool process_pool::end_taken(task_pointer task, const departure& left, task_list& again) {
  outcome end;
  end.worker = left;
  switch (left.why) {
    case end_reason::timeout:
      end.what = outcome::kind::timed_out;
      break;
    case end_reason::cancelling:
      end.what = outcome::kind::cancelled;
      break;
    default:
      if (task->terms.retries != 0 && task->whole) {
        --task->terms.retries;
        again.push_back(std::move(task));
        return false;
      }
      end.what = outcome::kind::lost;
  }
  return deliver(*task, std::move(end));
}

void process_pool::finish() {
  const std::lock_guard lock(mutex_);
  finishing_ = true;
  stop_when_done();
}

void process_pool::stop_when_done() {
  if (!finishing_ || outstanding_ != 0) return;
  for (const auto& worker : workers_) worker->ask_to_stop();
}

void process_pool::stop_workers() {
  const std::lock_guard lock(mutex_);
  for (const auto& worker : workers_) worker->ask_to_stop();
}

void process_pool::abandon_tasks(const departure* because) {
  const std::lock_guard lock(mutex_);
  task_list all(std::move(backlog_));
  backlog_bytes_ = 0;
  for (const auto& worker : workers_) {
    while (task_pointer task = worker->give_up()) all.push_back(std::move(task));
    worker->corrupt = true;  // an answer to any of them would be to nobody's question
  }
  while (const task_pointer task = all.pop_front()) {
    outcome end;
    if (because != nullptr) {
      end.what = outcome::kind::lost;
      end.worker = *because;
    }
    deliver(*task, std::move(end));
  }
  wake_waiters();
}

void process_pool::forget_in_child() noexcept {
  // No lock: the thread that held it may not exist in this process, and no other thread does.
  workers_.clear();
  backlog_.clear();
  outstanding_ = 0;
}

std::size_t process_pool::outstanding() {
  const std::lock_guard lock(mutex_);
  return outstanding_;
}

std::size_t process_pool::backlog_bytes() {
  const std::lock_guard lock(mutex_);
  return backlog_bytes_;
}

std::size_t process_pool::failed_starts() {
  const std::lock_guard lock(mutex_);
  return failed_starts_;
}

}  // namespace triga::proc
