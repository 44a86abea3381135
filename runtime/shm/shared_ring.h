// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/shm/owner_lock.h"

namespace triga::shm {

// A queue of messages of any size from any number of processes to any number, in memory that all of them map.
//
// The problem: any of them may be killed at any instruction, and none may hold up the others, lose a message
// of theirs, or let them read half a message. So putting and taking have a lock each that is taken over from
// the dead (owner_lock), and under each lock there is one store that matters: the end of the messages, made
// after all bytes of the new one are there, or their beginning, made after all of it has been copied out. A
// process that dies before its store has done nothing; after it, all. The position in bytes and the number of
// messages are one word, hence one store.
//
// What another process wrote is not believed: a reader copies each number once and checks it against the
// bounds. A mad process can lose messages, hold a lock as long as it lives, or make the others say `corrupt`.
//
// Layout: one shared_ring_header, then `capacity` bytes (a power of two). A message is a 64-bit length and
// its bytes, padded to 8; it may wrap.
struct shared_ring_header {
  alignas(64) owner_lock putting;
  std::atomic<std::uint64_t> head;  // a mark; stored under `putting`
  alignas(64) owner_lock taking;
  std::atomic<std::uint64_t> tail;  // a mark; stored under `taking`
};

class shared_ring {
 public:
  enum class status {
    done,
    recovered,    // done, under a lock that somebody died with
    busy,         // somebody has the lock; only for the impatient
    interrupted,  // a signal handler ran while the lock was waited for
    empty,
    full,       // `most` messages are there
    no_space,   // the message does not fit now
    too_large,  // nor would it fit an empty ring
    corrupt     // somebody broke the protocol
  };
  enum class patience { none, any };

  static constexpr std::size_t smallest = std::size_t{1} << 12;
  static constexpr std::size_t largest = std::size_t{1} << 30;
  static constexpr std::size_t bytes(std::size_t capacity) noexcept {
    return sizeof(shared_ring_header) + capacity;
  }

  shared_ring() noexcept = default;
  // `memory` holds bytes(capacity) bytes, aligned to 64; all zero before first use.
  shared_ring(std::span<std::byte> memory, std::size_t capacity) noexcept;

  // Appends a message made of `pieces`, if fewer than `most` are there.
  status put(std::span<const std::span<const std::byte>> pieces, std::uint32_t most, patience how) noexcept;
  // Moves the first message into `message`.
  status take(std::vector<std::byte>& message, patience how);

  // A moment's truth.
  [[nodiscard]] std::uint32_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] std::size_t used() const noexcept;  // bytes
  // How many messages were ever put, modulo 2^32.
  [[nodiscard]] std::uint32_t puts() const noexcept;
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

 private:
  void copy_in(std::size_t at, std::span<const std::byte> bytes) noexcept;
  void copy_out(std::size_t at, std::span<std::byte> bytes) const noexcept;
  status put_locked(std::span<const std::span<const std::byte>> pieces, std::size_t length,
                    std::uint32_t most) noexcept;
  status take_locked(std::vector<std::byte>& message);

  shared_ring_header* header_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace triga::shm
