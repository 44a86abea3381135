// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/proc/channel.h"
#include "runtime/proc/outcome.h"
#include "runtime/proc/pool_task.h"
#include "runtime/proc/worker_link.h"
#include "runtime/shm/doorbell.h"

namespace triga::proc {

// The parent's end of one worker's channel. Guarded by the pool's lock, but for the envelope that is being
// staged.
class pool_worker {
 public:
  pool_worker(std::uint64_t id, const channel_options& options, std::uint64_t quota);

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] link_descriptors descriptors() const noexcept;

  // Whether another task fits its quota, its claim slots and `depth` tasks in flight.
  [[nodiscard]] bool accepts(std::size_t depth) const noexcept;
  // Whether it has run all the tasks of its quota.
  [[nodiscard]] bool is_done() const noexcept { return quota_ == 0 && in_flight_.empty(); }
  [[nodiscard]] std::size_t load() const noexcept { return in_flight_.size(); }

  // Puts a task that is kept whole in the ring; false, and the task stays the caller's, if there is no room
  // or the ring is corrupt. The worker is woken.
  bool offer(task_pointer& task);
  // The same in two steps for a large one, so that the copying happens outside the pool's lock.
  result<envelope> stage(pool_task& task, const content& what, std::size_t inline_limit);
  bool post(task_pointer& task, const envelope& ready);

  // Takes back the last task offered; nullptr if the worker has taken it, or there is none.
  task_pointer take_back() { return in_flight_.empty() ? nullptr : take_back(*in_flight_.back()); }
  // The same for a certain task, which is in flight here.
  task_pointer take_back(pool_task& task);
  [[nodiscard]] bool is_taken(const pool_task& task) const noexcept;
  // Decides that this worker will not answer the task that it runs, and kills it; false if it has answered,
  // or has not begun.
  bool condemn(const pool_task& task, end_reason why) noexcept;
  // When the task in flight has run for its time limit, as far as can be told now.
  [[nodiscard]] time_point expiry_of(const pool_task& task, time_point now) const noexcept;
  // Has the process killed; its death is reported like any other, and its tasks with it.
  void kill(end_reason why) noexcept;

  // The next message from the worker: would_block if there is none.
  shm::ring_status next(message& received);
  // Removes the task that an answer with this sequence number ends; nullptr if there is no such task.
  task_pointer finish(std::uint64_t sequence);

  // Removes the first task in flight, when the worker is dead: its content, sent through the slab and never
  // taken, is read back.
  task_pointer salvage();
  // The same for a task that will not run again.
  task_pointer give_up() noexcept { return in_flight_.pop_front(); }

  void ring() const noexcept { bell_.ring(); }
  void ask_to_stop() const noexcept;
  shm::ring_reader& results() noexcept { return results_; }
  const task_list& in_flight() const noexcept { return in_flight_; }

  pid_t pid = 0;
  unique_fd process;     // empty until started
  bool up = false;       // it said that its start is complete
  bool sending = false;  // an envelope is being staged outside the lock
  bool dead = false;
  bool corrupt = false;  // what it sends is believed no more
  end_reason why = end_reason::its_own;

 private:
  [[nodiscard]] std::uint64_t unsettled() const noexcept;
  void posted(task_pointer task);
  void recover(pool_task& task);

  std::uint64_t id_;
  std::shared_ptr<const shm::segment> home_;
  channel_memory memory_;
  shm::ring_writer tasks_;
  shm::ring_reader results_;
  shm::slab_writer slab_;
  shm::region result_slab_;
  shm::region task_slab_;  // as slab_ writes it: a worker may send a task's blocks back
  shm::doorbell bell_;
  task_list in_flight_;
  std::uint64_t quota_;  // tasks that it may still be given
  std::uint64_t next_sequence_ = 1;
  std::uint64_t settled_sequence_ = 0;  // the worker is past this one
  std::vector<std::pair<std::uint64_t, std::vector<shm::block_reference>>>
      staged_;  // of large tasks in flight
};

}  // namespace triga::proc
