// SPDX-License-Identifier: MIT
// process_pool: the workers' life, and the end of it all. Who gets which task is in process_pool_tasks.cpp,
// what comes back in process_pool_results.cpp, waiting in process_pool_wait.cpp.
#include "runtime/proc/process_pool.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "runtime/proc/parked.h"
#include "runtime/trace/counters.h"

namespace triga::proc {

process_pool::process_pool(const pool_options& options) : options_(options) {}

process_pool::prepared process_pool::prepare_worker(std::uint64_t quota) {
  const std::lock_guard lock(mutex_);
  auto worker = std::make_shared<pool_worker>(next_id_, options_.ring_capacity, quota);
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

void process_pool::kill(pool_worker& worker) noexcept {
  // Its death is reported like any other, and its tasks with it.
  worker.corrupt = true;
  if (worker.process) ::syscall(SYS_pidfd_send_signal, worker.process.get(), SIGKILL, nullptr, 0);
}

void process_pool::bury(const std::vector<std::uint64_t>& keys) {
  for (const std::uint64_t key : keys) {
    if (const worker_pointer worker = find(key)) bury(worker);
  }
}

void process_pool::bury(const worker_pointer& worker) {
  bool changed = drain_worker(*worker);  // what it sent before it died is valid
  departure left;
  left.worker = worker->id();
  left.pid = worker->pid;
  left.was_ready = worker->up;
  left.was_done = worker->is_done();
  left.was_corrupt = worker->corrupt;
  if (worker->process) {
    left.status = peek_exit(worker->process);
    leader_place_.forget(worker->process);
    collector_place_.forget(worker->process);
  }
  worker->dead = true;
  std::erase(workers_, worker);
  const bool held_work = std::any_of(worker->in_flight().begin(), worker->in_flight().end(),
                                     [&](const auto& task) { return worker->is_taken(task); });
  if (held_work || left.status.signalled) trace::count(trace::counter::processes_died);
  if (!worker->up) ++failed_starts_;
  departed_.push_back(left);
  std::deque<pool_task> orphans;
  for (auto& task : worker->in_flight()) {
    if (worker->is_taken(task)) {
      outcome end;
      end.what = outcome::kind::lost;
      end.worker = left;
      changed |= deliver(task, std::move(end));
    } else {
      if (task.large) worker->recover(task);
      backlog_bytes_ += task.size;
      orphans.push_back(std::move(task));
    }
  }
  worker->in_flight().clear();
  backlog_.insert(backlog_.begin(), std::move_iterator(orphans.begin()), std::move_iterator(orphans.end()));
  if (changed) wake_waiters();
  if (serving_) collector_place_.bell().ring();
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
  std::deque<pool_task> all = std::exchange(backlog_, {});
  backlog_bytes_ = 0;
  for (const auto& worker : workers_) {
    for (auto& task : worker->in_flight()) all.push_back(std::move(task));
    worker->in_flight().clear();
    worker->corrupt = true;  // an answer to any of them would be to nobody's question
  }
  for (auto& task : all) {
    outcome end;
    if (because != nullptr) {
      end.what = outcome::kind::lost;
      end.worker = *because;
    }
    deliver(task, std::move(end));
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
