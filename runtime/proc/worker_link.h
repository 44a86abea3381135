// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>

#include "runtime/base/unique_fd.h"
#include "runtime/proc/channel.h"
#include "runtime/shm/doorbell.h"

namespace triga::proc {

// The descriptors that a worker process gets from its parent.
struct link_descriptors {
  int memory = -1;     // the channel's segment
  int bell = -1;       // rung for this worker
  int leader = -1;     // rung for the parent's thread that waits for results
  int collector = -1;  // rung for the parent's thread that collects when nobody waits
  int parent = -1;     // the parent process
};

// The worker's end of its channel. One thread uses it. It never outlives the parent: every wait ends with the
// parent.
class worker_link {
 public:
  // Takes the descriptors over. Throws std::system_error.
  explicit worker_link(const link_descriptors& given);

  enum class received {
    task,
    finished,     // the parent asked for the end, and the ring is empty
    interrupted,  // a signal handler ran: call again after running Python's
    parent_died,
    corrupt
  };
  // Waits for the next task and takes it: from here on the parent cannot give it to another worker.
  received receive(message& task);
  // Takes a task that is there now; nullopt: none is, and receive() waits.
  std::optional<received> try_receive(message& task);

  enum class sent {
    done,
    parent_died,
    corrupt,
    no_memory,
    condemned,   // the parent is about to kill this process rather than take the answer
    would_block  // from try_send: no room, and nothing was sent
  };
  // Sends one message, waiting for room where there is none. On no_memory `error` says which errno.
  sent send(const content& what, std::uint64_t sequence, std::uint16_t tag, int& error);

  // The same for a body that fits the ring, without waiting.
  sent try_send(byte_span body, std::uint64_t sequence, std::uint16_t tag);

  // The largest message that travels through the ring itself.
  [[nodiscard]] std::size_t inline_limit() const noexcept { return memory_.capacity / 4; }
  [[nodiscard]] int parent() const noexcept { return parent_.get(); }

 private:
  bool may_answer(std::uint64_t sequence) noexcept;
  void announce(std::size_t size);
  enum class sleep_end { again, interrupted, parent_died };
  sleep_end sleep() noexcept;
  bool spin_for_task() noexcept;
  void wake_parent();
  void ring_parent();

  std::shared_ptr<const shm::segment> home_;
  channel_memory memory_;
  std::vector<std::byte> raw_;  // kept for its memory
  shm::ring_reader tasks_;
  shm::ring_writer results_;
  shm::slab_writer slab_;
  shm::region task_slab_;
  shm::doorbell bell_;
  shm::doorbell leader_;
  shm::doorbell collector_;
  unique_fd parent_;
  std::uint32_t unannounced_ = 0;  // results sent since the parent was last woken
};

}  // namespace triga::proc
