// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/proc/channel.h"
#include "runtime/proc/outcome.h"
#include "runtime/proc/worker_link.h"
#include "runtime/shm/doorbell.h"

namespace triga::proc {

// A task that the pool keeps until its outcome is known: also while it lies in a worker's ring, as it may
// have to go to another worker.
struct pool_task {
  std::shared_ptr<receiver> to;
  std::uint64_t index = 0;
  std::uint16_t tag = 0;
  std::vector<std::byte> body;                  // empty while it lies in a worker's slab
  std::vector<std::vector<std::byte>> buffers;  // the same
  std::size_t size = 0;
  bool large = false;
  std::uint64_t sequence = 0;  // in the worker's ring

  void keep(const content& what);
};

// The parent's end of one worker's channel. Guarded by the pool's lock, but for the envelope that is being
// staged.
class pool_worker {
 public:
  pool_worker(std::uint64_t id, std::size_t ring_capacity, std::uint64_t quota);

  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  [[nodiscard]] link_descriptors descriptors() const noexcept;

  // Whether another task fits its quota, its claim slots and `depth` tasks in flight.
  [[nodiscard]] bool accepts(std::size_t depth) const noexcept;
  // Whether it has run all the tasks of its quota.
  [[nodiscard]] bool is_done() const noexcept { return quota_ == 0 && in_flight_.empty(); }
  [[nodiscard]] std::size_t load() const noexcept { return in_flight_.size(); }

  // Puts the task in the ring; false if there is no room, or the ring is corrupt. The worker is woken.
  bool offer(pool_task& task, const content& what, std::size_t inline_limit);
  // The same in two steps for a large one, so that the copying happens outside the pool's lock.
  result<envelope> stage(pool_task& task, const content& what, std::size_t inline_limit);
  bool post(pool_task& task, const envelope& ready);

  // Takes back the last task offered, if the worker has not taken it; false if it has, or there is none.
  bool take_back(pool_task& task);
  // The same for a certain task.
  bool take_back(const receiver* to, std::uint64_t index, pool_task& task);
  [[nodiscard]] bool is_taken(const pool_task& task) const noexcept;

  // The next message from the worker: would_block if there is none.
  shm::ring_status next(message& received);
  // Removes the task that an answer with this sequence number ends; false if there is no such task.
  bool finish(std::uint64_t sequence, pool_task& task);

  // Reads the content of a task, sent through the slab and never taken, back into the task.
  void recover(pool_task& task) const;

  void ring() const noexcept { bell_.ring(); }
  void ask_to_stop() const noexcept;
  shm::ring_reader& results() noexcept { return results_; }
  std::deque<pool_task>& in_flight() noexcept { return in_flight_; }

  pid_t pid = 0;
  unique_fd process;     // empty until started
  bool up = false;       // it said that its start is complete
  bool sending = false;  // an envelope is being staged outside the lock
  bool dead = false;
  bool corrupt = false;

 private:
  [[nodiscard]] std::uint64_t unsettled() const noexcept;

  std::uint64_t id_;
  std::shared_ptr<const shm::segment> home_;
  channel_memory memory_;
  shm::ring_writer tasks_;
  shm::ring_reader results_;
  shm::slab_writer slab_;
  shm::doorbell bell_;
  std::deque<pool_task> in_flight_;
  std::uint64_t quota_;  // tasks that it may still be given
  std::uint64_t next_sequence_ = 1;
  std::uint64_t settled_sequence_ = 0;  // the worker is past this one
  std::vector<std::pair<std::uint64_t, std::vector<shm::block_reference>>>
      staged_;  // of large tasks in flight
};

}  // namespace triga::proc
