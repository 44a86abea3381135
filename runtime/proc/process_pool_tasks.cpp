// SPDX-License-Identifier: MIT
// process_pool: who gets which task, and taking tasks back.
#include <algorithm>
#include <cerrno>

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
                          std::uint16_t tag) {
  pool_task task;
  task.to = std::move(to);
  task.index = index;
  task.tag = tag;
  task.size = size_of(what);
  task.large = what.body_size() > inline_limit() || !what.buffers.empty();
  // Kept, as the task may have to go elsewhere; a large one is read back from the slab if it has to.
  if (!task.large) task.keep(what);
  lock_type lock(mutex_);
  ++outstanding_;
  if (task.to->prompt()) ++prompt_outstanding_;
  // A submitter that is ahead of the workers collects for them, so that neither rings nor workers stand
  // still.
  if (!backlog_.empty() && !leading_ && outstanding_ % 16 == 0) drain(lock);
  if (backlog_.empty() && give(lock, task, what)) return;
  if (task.large) task.keep(what);
  backlog_bytes_ += task.size;
  backlog_.push_back(std::move(task));
}

// True if the task has gone to a worker, or has ended because it cannot.
bool process_pool::give(lock_type& lock, pool_task& task, const content& what) {
  for (;;) {
    const worker_pointer worker = choose(task.large);
    if (!worker) return false;
    if (!task.large) return send_small(worker, task);
    if (send_large(lock, worker, task, what)) return true;
  }
}

bool process_pool::send_small(const worker_pointer& worker, pool_task& task) {
  const kept_content kept(task);
  return worker->offer(task, kept.get(), inline_limit());
}

// False if the worker died meanwhile: another one has to be found.
bool process_pool::send_large(lock_type& lock, const worker_pointer& worker, pool_task& task,
                              const content& what) {
  worker->sending = true;
  lock.unlock();
  auto ready = worker->stage(task, what, inline_limit());
  lock.lock();
  worker->sending = false;
  if (!ready) {
    outcome end;
    end.what = outcome::kind::unsendable;
    end.error = ready.error();
    if (deliver(task, std::move(end))) wake_waiters();
    return true;
  }
  if (worker->dead || worker->corrupt) return false;
  if (what.body_size() <= inline_limit()) task.keep({.body = what.body, .buffers = {}});
  // The ring is empty (a large task goes to an idle worker only), so it can fail for too many buffers alone.
  if (worker->post(task, *ready)) return true;
  outcome end;
  end.what = outcome::kind::unsendable;
  end.error = EMSGSIZE;
  if (deliver(task, std::move(end))) wake_waiters();
  return true;
}

// True if tasks left the backlog.
bool process_pool::dispatch(lock_type& lock) {
  bool moved = false;
  while (!backlog_.empty()) {
    if (!choose(backlog_.front().large)) return moved;
    pool_task task = std::move(backlog_.front());
    backlog_.pop_front();
    const std::size_t size = task.size;
    backlog_bytes_ -= size;
    bool given = false;
    if (task.large) {
      pool_task source;
      source.body = std::move(task.body);
      source.buffers = std::move(task.buffers);
      task.body.clear();
      task.buffers.clear();
      const kept_content kept(source);
      given = give(lock, task, kept.get());
      if (!given) task.keep(kept.get());
    } else {
      given = give(lock, task, {});
    }
    if (given) {
      moved = true;
      continue;
    }
    backlog_bytes_ += size;
    backlog_.push_front(std::move(task));
    return moved;
  }
  return moved;
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
  std::deque<pool_task> taken;
  for (std::size_t wanted = (busiest->load() + 1) / 2; wanted != 0; --wanted) {
    pool_task task;
    if (!busiest->take_back(task)) break;
    taken.push_front(std::move(task));
  }
  for (auto& task : taken) {
    if (!task.large && idle.accepts(options_.depth)) {
      const kept_content kept(task);
      if (idle.offer(task, kept.get(), inline_limit())) continue;
    }
    backlog_bytes_ += task.size;
    backlog_.push_back(std::move(task));
  }
  return !taken.empty();
}

bool process_pool::cancel(const receiver* to, std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  const auto end_it = [&](pool_task& task) {
    if (deliver(task, outcome{})) wake_waiters();
    stop_when_done();
    return true;
  };
  for (auto each = backlog_.begin(); each != backlog_.end(); ++each) {
    if (each->to.get() != to || each->index != index) continue;
    pool_task task = std::move(*each);
    backlog_bytes_ -= task.size;
    backlog_.erase(each);
    return end_it(task);
  }
  for (const auto& worker : workers_) {
    pool_task task;
    if (worker->take_back(to, index, task)) return end_it(task);
  }
  return false;
}

void process_pool::cancel_waiting() {
  const std::lock_guard lock(mutex_);
  std::deque<pool_task> waiting = std::exchange(backlog_, {});
  backlog_bytes_ = 0;
  for (const auto& worker : workers_) {
    pool_task task;
    while (worker->load() > 1 && worker->take_back(task)) waiting.push_back(std::move(task));
  }
  for (auto& task : waiting) deliver(task, outcome{});
  wake_waiters();
  stop_when_done();
}

bool process_pool::is_running(const receiver* to, std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  for (const auto& worker : workers_) {
    for (const auto& task : worker->in_flight()) {
      if (task.to.get() == to && task.index == index) return worker->is_taken(task);
    }
  }
  return false;
}

}  // namespace triga::proc
