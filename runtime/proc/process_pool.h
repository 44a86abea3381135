// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/proc/outcome.h"
#include "runtime/proc/pool_worker.h"
#include "runtime/proc/supervisor.h"
#include "runtime/sync/futex.h"
#include "runtime/sync/spin.h"

namespace triga::proc {

struct pool_options {
  channel_options channel;  // of each worker
  std::size_t depth = 128;  // tasks in flight at one worker
  bool spin = true;         // look for results a while before sleeping
  // How a thread looks for results before it sleeps, in place of the bounded spin: true when `there` was.
  std::function<bool(const std::function<bool()>& there)> look_out;
};

// Gives tasks, which are bytes, to worker processes and their outcomes, which are bytes, to receivers.
//
// Who does the work: there is no thread of the pool's own. A thread in wait() leads: it sleeps until a worker
// rings or dies, moves results to their receivers and tasks to the workers; further waiters follow, asleep on
// a futex each, and one of them leads when the leader has what it wanted. A thread in serve() does the same
// while nobody leads, and is not disturbed while somebody does: the workers' rings say which of the two bells
// is to be rung.
//
// A worker that dies fails the task that it had taken, or begins it again elsewhere if its terms allow that;
// what lay untaken in its ring goes to other workers. A task that runs can be ended too, by the death of its
// worker: when its time is over, or when it is cancelled by force.
// Somebody has to replace it: wait() and serve() return `repairs` to one thread, which calls take_departed()
// and starts workers.
//
// How a process is started is the caller's business: prepare_worker() gives the descriptors that the child
// needs, worker_started() its pid.
//
// Locks: mutex_ guards everything here and in the workers. It is held while a receiver takes an outcome (lock
// order: pool, then receiver), never while sleeping, spinning or copying a large payload.
class process_pool {
 public:
  explicit process_pool(const pool_options& options = {});
  process_pool(const process_pool&) = delete;
  process_pool& operator=(const process_pool&) = delete;
  process_pool(process_pool&&) = delete;
  process_pool& operator=(process_pool&&) = delete;
  ~process_pool() = default;

  struct prepared {
    std::uint64_t id;
    link_descriptors descriptors;  // owned by the pool; `parent` is left to the caller
  };
  // A channel for a worker that will run at most `quota` tasks. Throws std::system_error.
  prepared prepare_worker(std::uint64_t quota);
  // The worker runs, as `pid`: from now on it is watched and gets tasks. It may have ended already.
  void worker_started(std::uint64_t id, pid_t pid);
  // The worker could not be started.
  void discard_worker(std::uint64_t id);

  // Hands a task over; `what` is copied before it returns. The outcome goes to `to`.
  void submit(const content& what, std::shared_ptr<receiver> to, std::uint64_t index,
              const task_terms& terms);

  // An outcome that never was a task: the caller knows why. The receiver gets `cancelled`.
  void conclude(receiver& to, std::uint64_t index);
  // Looks again whether waiting threads have what they wait for, after a change that the pool did not make.
  void reconsider();

  enum class ended { ready, timed_out, interrupted, repairs, notices, stopped };
  using condition = std::function<bool()>;
  // Waits until `ready()`, which is called with the lock held, holds. Returns `repairs` where workers are to
  // be replaced and no other thread has been told, if the caller says that it can.
  ended wait(const condition& ready, time_point deadline, bool may_repair);
  // Collects until there is something to do that only the caller can: repairs, notices, or the end.
  ended serve();
  // Makes serve() return `stopped`, now and ever after; allow_serving() takes it back.
  void stop_serving();
  void allow_serving();
  // Moves what is there and returns; for a caller that polls.
  void collect();
  // True if tasks are out and no thread collects.
  bool wants_collector();

  std::vector<departure> take_departed();
  std::vector<std::uint64_t> take_notices();

  // Takes a task back: true, with outcome `cancelled`, if no worker has taken it.
  bool cancel(receiver& to, std::uint64_t index);
  // The same for one that runs: its worker is killed, and the outcome comes with its death. False if the task
  // has ended, or is about to.
  bool cancel_running(receiver& to, std::uint64_t index);
  // All tasks that no worker has taken; but each worker keeps the one that it is about to begin.
  void cancel_waiting();
  // True if a worker has taken the task.
  bool is_running(const receiver& to, std::uint64_t index);

  // No more tasks will come: workers exit when all are done. They may also be told to exit now, after what
  // they hold.
  void finish();
  void stop_workers();
  // Every task ends now: with `cancelled`, or `lost` with the departure given.
  void abandon_tasks(const departure* because = nullptr);
  // In a forked child: closes the descriptors of the parent's pool, which is not the child's to use.
  void forget_in_child() noexcept;

  // For conditions, which run with the lock held.
  [[nodiscard]] bool idle_locked() const noexcept { return outstanding_ == 0; }
  [[nodiscard]] bool backlog_below_locked(std::size_t bytes) const noexcept { return backlog_bytes_ < bytes; }
  std::size_t outstanding();
  std::size_t backlog_bytes();
  // Workers that died one after the other before they were ready.
  std::size_t failed_starts();

 private:
  using lock_type = std::unique_lock<std::mutex>;
  using worker_pointer = std::shared_ptr<pool_worker>;
  struct follower {
    sync::futex_word word{0};
    const condition* ready;
  };

  [[nodiscard]] std::size_t inline_limit() const noexcept { return options_.channel.ring_capacity / 4; }
  worker_pointer find(std::uint64_t id);
  worker_pointer choose(bool large);
  bool give(lock_type& lock, task_pointer& task, const content& what);
  bool send_large(lock_type& lock, const worker_pointer& worker, task_pointer& task, const content& what);
  void unsendable(pool_task& task, int error);
  void reckon_with_limit() noexcept;
  void put_off(task_pointer task);
  void put_first(task_pointer task);
  task_pointer take_waiting(pool_task& task);
  bool dispatch(lock_type& lock);
  bool dispatch_large(lock_type& lock, task_pointer& task);
  void balance();
  bool steal_for(pool_worker& idle);
  void end_cancelled(pool_task& task);

  void drain(lock_type& lock);
  bool drain_worker(pool_worker& worker);
  bool accept(pool_worker& worker, message&& received);
  bool deliver(pool_task& task, outcome&& end);
  bool deliver_to(receiver& to, std::uint64_t index, outcome&& end);
  void damaged(pool_worker& worker) noexcept;
  void bury(const std::vector<std::uint64_t>& keys);
  void bury(const worker_pointer& worker);
  departure departure_of(const pool_worker& worker);
  bool end_taken(task_pointer task, const departure& left, task_list& again);
  void wake_waiters();
  void wake_collector() noexcept;
  void stop_when_done();
  time_point next_expiry(time_point now) noexcept;
  void end_expired() noexcept;

  bool any_readable() noexcept;
  void park(std::uint32_t who) noexcept;
  void unpark() noexcept;
  ended lead(lock_type& lock, const condition& ready, time_point deadline, bool may_repair);
  ended follow(lock_type& lock, const condition& ready, time_point deadline);
  bool spin(lock_type& lock);
  void hand_over(lock_type& lock);
  bool claim_repairs(bool may_repair);

  const pool_options options_;
  std::mutex mutex_;
  supervisor leader_place_;
  supervisor collector_place_;
  std::vector<worker_pointer> workers_;
  task_list backlog_;
  std::size_t backlog_bytes_ = 0;
  std::size_t outstanding_ = 0;
  std::size_t prompt_outstanding_ = 0;
  std::size_t timed_outstanding_ = 0;
  std::uint64_t next_id_ = 1;
  std::vector<departure> departed_;
  std::vector<std::uint64_t> notices_;
  std::vector<follower*> followers_;
  const condition* sleeping_leader_ = nullptr;
  std::size_t failed_starts_ = 0;
  bool leading_ = false;
  bool serving_ = false;
  bool collector_asleep_ = false;  // and nobody has rung for it yet
  bool stop_serving_ = false;
  bool repairing_ = false;
  bool finishing_ = false;
};

}  // namespace triga::proc
