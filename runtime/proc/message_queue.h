// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "runtime/base/clock.h"
#include "runtime/proc/aside_counts.h"
#include "runtime/proc/channel.h"
#include "runtime/shm/shared_bell.h"
#include "runtime/shm/shared_ring.h"

namespace triga::proc {

// What processes that share a queue agree on; the ring follows. Those who sleep on different bells share no
// cache line.
struct queue_header {  // NOLINT(clang-analyzer-optin.performance.Padding): hence the padding
  std::uint64_t magic;
  std::uint64_t ring_capacity;
  std::uint64_t most;        // messages
  std::uint64_t most_bytes;  // of payloads beside the ring; 0: no bound
  alignas(64) std::atomic<std::uint64_t> next_block;
  std::atomic<std::int64_t> block_bytes;  // of messages in the ring; an estimate after somebody was killed
  std::atomic<std::uint32_t> done;        // messages that somebody said to be dealt with
  std::atomic<std::uint32_t> watched;     // 1: somebody waits for the descriptor
  alignas(64) shm::shared_bell items;     // receivers sleep
  alignas(64) shm::shared_bell room;      // senders sleep: for a message fewer than `most`
  alignas(64) shm::shared_bell space;     // senders sleep: for bytes in the ring or beside it
  shm::shared_bell finished;              // join() sleeps
  alignas(64) aside_counts aside;         // messages that wait in their senders' own memory
};

// A queue of messages between any number of processes: a shared_ring, payloads beside it, and what its users
// sleep on. All calls are thread-safe, and none touches Python.
class message_queue {
 public:
  // How a call ended.
  enum class status {
    done,
    busy,         // somebody else was at it; only for the impatient
    interrupted,  // a signal handler ran; call again
    timed_out,
    empty,
    full,      // `most` messages are there
    no_space,  // no memory for it within the bounds now
    hung_up,   // nobody is left at the other end
    corrupt    // somebody broke the protocol
  };
  using patience = shm::shared_ring::patience;

  struct options {
    std::uint32_t most = std::uint32_t{1} << 31U;
    std::size_t ring_capacity = std::size_t{1} << 20U;
    std::uint64_t most_bytes = std::uint64_t{1} << 28U;
  };

  static result<std::unique_ptr<message_queue>> create(const options& wanted);
  // From a descriptor of another process, which is taken over; EPROTO if it is no queue.
  static result<std::unique_ptr<message_queue>> adopt(unique_fd descriptor);

  [[nodiscard]] int descriptor() const noexcept { return home_->descriptor(); }
  [[nodiscard]] std::uint32_t most() const noexcept { return most_; }

  // The pipe whose read end is readable if there is a message and somebody watches(). Borrowed; -1: closed.
  void use_pipe(int reader, int writer) noexcept;
  void forget_reader() noexcept { reader_.store(-1, std::memory_order_relaxed); }
  void forget_writer() noexcept { writer_.store(-1, std::memory_order_relaxed); }
  // From now on the pipe tells.
  void watch() noexcept;

  // True if payloads of `bytes` may lie beside the ring now.
  [[nodiscard]] bool has_space(std::uint64_t bytes) const noexcept;
  // Writes to memory what does not go through the ring. The errno of a full machine comes back.
  result<envelope> stage(const content& what, std::uint64_t sequence, std::uint16_t tag) const;
  void discard(const envelope& staged) const noexcept {
    shm::slab_writer slab;
    staged.discard(slab, *home_);
  }
  // `set_aside`: the message has been counted already, see set_aside().
  status put(const envelope& staged, patience how, bool set_aside = false);
  // The same at once for what goes through the ring whole: at most most_pieces and inline_limit() bytes.
  status put_small(std::span<const byte_span> body, std::uint64_t sequence, std::uint16_t tag, patience how);
  static constexpr std::size_t most_pieces = 6;
  status take(message& received, patience how);

  // Sleep, after a look-out, until something has changed or it is time to look. done: look.
  status await_item(time_point deadline);
  status await_room(time_point deadline);
  status await_space(time_point deadline, std::uint64_t bytes);

  // A message waits in this process's own memory, in front of nothing of this process's in the ring.
  void set_aside() noexcept { header().aside.add(); }
  void drop_set_aside(std::uint32_t count) noexcept;

  [[nodiscard]] bool empty() const noexcept { return ring_.empty(); }
  // Takes off what was counted by processes that are gone, and wakes who may go on then. The waits below do
  // so once a second.
  void forget_the_gone() noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept;
  [[nodiscard]] bool full() const noexcept { return size() >= most_; }

  // For a receiver that leaves without having looked: another may have to be woken in its place.
  void pass_on() noexcept {
    if (!empty()) header().items.ring();
  }

  // One more message is dealt with; false if there is none that was not.
  bool task_done() noexcept;
  [[nodiscard]] bool all_done() const noexcept { return unfinished() == 0; }
  status await_all_done(time_point deadline) noexcept;

  [[nodiscard]] std::size_t inline_limit() const noexcept { return ring_.capacity() / 16; }

 private:
  message_queue(std::shared_ptr<const shm::segment> home, shm::mapping mapped, std::size_t capacity) noexcept;

  [[nodiscard]] queue_header& header() const noexcept {
    return *reinterpret_cast<queue_header*>(mapped_.data());
  }
  [[nodiscard]] std::uint32_t unfinished() const noexcept;
  template <class Ready>
  status await(shm::shared_bell& bell, time_point deadline, int end_of_pipe, Ready ready);
  [[nodiscard]] std::uint32_t most_now() const noexcept;
  status after_put(shm::shared_ring::status how, std::size_t bytes) noexcept;
  void tell_pipe() const noexcept;
  void silence_pipe() const noexcept;
  void after_take(const message& received, bool recovered) noexcept;

  std::shared_ptr<const shm::segment> home_;
  shm::mapping mapped_;
  shm::shared_ring ring_;
  std::uint32_t most_ = 0;
  std::uint64_t most_bytes_ = 0;
  std::atomic<int> reader_{-1};
  std::atomic<int> writer_{-1};
};

}  // namespace triga::proc
