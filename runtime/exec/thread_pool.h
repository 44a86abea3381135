// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "runtime/base/clock.h"
#include "runtime/exec/at_fork.h"
#include "runtime/exec/task_queue.h"
#include "runtime/exec/thread_hooks.h"
#include "runtime/sync/futex.h"

namespace triga::exec {

// When a worker counts as idle, so that a submit needs no new one. Each submit uses up one idle worker's
// token or, if there is none, asks for a thread more.
enum class idle_rule {
  when_queue_empty,  // a worker gives a token when it finds the queue empty (concurrent.futures since 3.12)
  after_each_task,   // after each task that it ran (concurrent.futures of 3.11)
};

enum class submit_status {
  accepted,      // queued
  needs_worker,  // queued, and the caller is to start one more thread that calls work()
  closed,        // refused: close() was called
  full,          // refused: as many tasks wait as may; wait_for_space()
};

// The problem: many threads submit small tasks, few threads run them, and both a wake of a sleeping thread
// (tens of microseconds) and an attach (taking the GIL) cost more than most tasks. So tasks wait in one FIFO
// queue; a submit wakes a worker only if one sleeps and none is on its way already; a worker that took a task
// and leaves others behind wakes the next one; and a worker attaches once and runs tasks until the queue is
// empty.
//
// The pool has no threads of its own: whoever owns it starts them when submit() says so (see cached_pool, or
// the bindings, whose workers are Python Thread objects) and has each call work().
class thread_pool final : public fork_aware {
 public:
  struct options {
    std::size_t max_workers = 1;
    idle_rule idle = idle_rule::when_queue_empty;
    // Whether a worker that found the queue empty may look for a task, detached, before it sleeps (spin.h).
    // One at a time does.
    bool spins = false;
    // How many tasks may wait; submit() refuses more, except from the pool's own workers, which would wait
    // for themselves. 0: any number.
    std::size_t max_queued = 0;
    // After so long without a task a worker leaves; `never` has none leave. Needs
    // idle_rule::when_queue_empty.
    nanoseconds idle_timeout = nanoseconds::max();
  };

  // Why a worker left work().
  enum class left { closed, idle };

  explicit thread_pool(options chosen) : options_(chosen) {}
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  thread_pool(thread_pool&&) = delete;
  thread_pool& operator=(thread_pool&&) = delete;
  // Requires that no thread is in work() and no task is queued.
  ~thread_pool() override = default;

  // Queues a task behind all others of its priority. Never blocks for longer than another caller holds the
  // queue. Throws std::bad_alloc for a task with extras only; it is not queued then.
  [[nodiscard]] submit_status submit(task& node);

  // The caller could not start the thread that submit() asked for.
  void worker_not_started() noexcept;

  // Sleeps until a submit() may find space, the pool is closed, the deadline passes or a signal comes.
  sync::wait_status wait_for_space(time_point deadline) noexcept;

  // Runs tasks on the calling thread until the pool is closed and its queue empty, or the worker was idle for
  // too long.
  left work(thread_hooks& hooks);

  // The attendant's: sleeps until there are tasks whose run() has to be called attached, because their
  // deadline passed or their detached part has run, and takes those. `attaching`: how long its last attach
  // took, or zero. An empty list ends it: the pool is closed and no deadline is left. One thread at a time.
  [[nodiscard]] task_list attend(nanoseconds attaching) noexcept;

  // There is no attendant, and one would help: detached parts wait for slow attachments.
  [[nodiscard]] bool wants_attendant() const noexcept;

  // No task is accepted any more; workers run what is queued and leave. May be called twice, on any thread.
  void close() noexcept;

  // Takes the oldest task away unrun, or returns nullptr.
  task* try_take() noexcept;

  // Takes one task away unrun. False: it is not queued any more. Looks at every task before it.
  bool take_back(task& node) noexcept;

  // Takes every queued task away unrun, in order.
  [[nodiscard]] task_list take_all() noexcept;

  // Blocks until no thread is in work(). False: the deadline passed.
  bool wait_for_workers(time_point deadline = never) noexcept;

  // An idle worker's token, taken or given by hand (concurrent.futures' _idle_semaphore).
  bool take_idle_token() noexcept;
  void give_idle_token() noexcept;

  [[nodiscard]] std::size_t queued() const noexcept;
  [[nodiscard]] std::size_t space_waiters() const noexcept;
  [[nodiscard]] bool attaches_slowly() const noexcept;
  [[nodiscard]] std::size_t workers_started() const noexcept;
  [[nodiscard]] bool closed() const noexcept;

  // In a forked child: the tasks that were queued in the parent, once. They are the parent's and must not run
  // here.
  [[nodiscard]] task_list take_orphans() noexcept { return std::move(orphans_); }

  // Calls visit(task&) for each task that is queued or left to the attendant; nonzero stops and is returned.
  template <class Visit>
  int each_queued(Visit visit) const {
    const std::lock_guard lock(mutex_);
    if (const int stop = finishing_.each(visit)) return stop;
    return queue_.each(visit);
  }

 private:
  // One thread's way through work().
  struct worker {
    bool gave_token = false;
    bool woken = false;            // from its sleep until it took a task: `wake_pending_` is about it
    bool begins_detached = false;  // what wait_for_task() saw in front of the queue
    task* to_finish = nullptr;     // its detached part has run
  };
  enum class part { detached, attached };

  // In a forked child there are no workers, and what is queued is the parent's to run.
  void lock_for_fork() noexcept override { mutex_.lock(); }
  void unlock_in_parent() noexcept override { mutex_.unlock(); }
  void reset_in_child() noexcept override;

  bool wait_for_task(worker& self, left& why);
  void run_detached_parts(worker& self);
  bool hand_over(task& node) noexcept;
  void attach(const worker& self, thread_hooks& hooks);
  void run_tasks(worker& self, thread_hooks& hooks);
  void run_attached(task& node);
  task* next_task(worker& self, part wanted);
  void park(worker& self, std::unique_lock<std::mutex>& lock, time_point deadline) noexcept;
  void offer_token(worker& self) noexcept;
  void leave_idle() noexcept;
  void note_taken() noexcept;
  void offer_space() noexcept;
  void wake_attendant() noexcept;
  void enter() noexcept;
  void leave() noexcept;
  void spin_for_task(std::unique_lock<std::mutex>& lock) noexcept;
  void wake_one_unlocking(std::unique_lock<std::mutex>& lock) noexcept;

  const options options_;
  mutable std::mutex mutex_;  // guards what has no comment of its own
  task_queue queue_;
  task_list orphans_;
  std::size_t idle_tokens_ = 0;
  std::size_t started_ = 0;  // threads asked for, ever: never more than max_workers
  std::size_t parked_ = 0;
  bool wake_pending_ = false;  // a woken worker has not come for its task yet
  bool spinning_ = false;      // a worker looks out for tasks, and needs no wake
  bool closed_ = false;
  std::size_t space_waiters_ = 0;
  task_list finishing_;                 // their detached parts have run, and the attendant is to run() them
  bool attended_ = false;               // there is an attendant
  bool attendant_sleeps_ = false;       // in attend(), and nobody has woken it
  bool attaches_slowly_ = false;        // the last attach that finished such a task did
  time_point attendant_until_{};        // when it wakes by itself
  std::atomic<std::size_t> queued_{0};  // queue_.size(), written under the mutex, read by spinners
  sync::futex_word signal_{0};          // a generation: parked workers sleep on it
  sync::futex_word space_{0};           // a generation: wait_for_space() sleeps on it
  sync::futex_word attendance_{0};      // a generation: attend() sleeps on it
  sync::futex_word present_{0};         // threads in work(); wait_for_workers() sleeps on it
};

}  // namespace triga::exec
