// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace triga::shm {

// A queue of messages of any size from one process to one other, in memory that both map.
//
// The problem: the other side may die at any instruction, or write nonsense. So each side writes only its own
// cache line (plus the parked words below) and believes only its own private copy of what it wrote; a message
// becomes visible by one store, after all of its bytes; and the reader checks every number against the bounds
// before it uses it, having read it once. What a dead or mad writer can do is stop, or make the reader say
// `corrupt`.
//
// Layout: one ring_header, then `capacity` bytes (a power of two). `head` and `tail` count bytes since the
// beginning. A message is a 64-bit length and its bytes, padded to 8; it may wrap.
struct ring_header {
  alignas(64) std::atomic<std::uint64_t> head;  // written by the writer only
  alignas(64) std::atomic<std::uint64_t> tail;  // written by the reader only
  alignas(64)
      std::atomic<std::uint32_t> reader_parked;  // set by the reader before it sleeps, taken by the writer
  alignas(64)
      std::atomic<std::uint32_t> writer_parked;  // set by the writer before it sleeps, taken by the reader
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<std::uint32_t>::is_always_lock_free);

enum class ring_status {
  done,
  would_block,  // nothing to read, or no room
  too_large,    // a message that would not fit an empty ring
  corrupt       // the other side broke the protocol; the ring is of no more use
};

constexpr std::size_t ring_bytes(std::size_t capacity) noexcept { return sizeof(ring_header) + capacity; }

// Both ends share this: where the ring is, and the parked words.
//
// Parking. A side that is about to sleep stores a non-zero word, looks once more, and sleeps on something of
// its own choice; the other side, having published, takes the word and, if it was non-zero, wakes the
// sleeper. Both do "store, full fence, load", so at least one of them sees the other (Dekker): no wake is
// lost, and none is sent to the awake.
class ring_end {
 public:
  ring_end() noexcept = default;
  // `memory` holds ring_bytes(capacity) bytes, aligned to 64; all zero before first use.
  ring_end(std::span<std::byte> memory, std::size_t capacity) noexcept;

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  // The largest message that fits.
  [[nodiscard]] std::size_t largest() const noexcept { return capacity_ - sizeof(std::uint64_t); }

 protected:
  static std::uint32_t take(std::atomic<std::uint32_t>& parked) noexcept;

  ring_header* header_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
};

class ring_writer : public ring_end {
 public:
  using ring_end::ring_end;

  // Appends one message made of `pieces`, or nothing. Never blocks.
  ring_status try_write(std::span<const std::span<const std::byte>> pieces) noexcept;

  // True when the reader has read everything.
  [[nodiscard]] bool drained() const noexcept;
  // Bytes written and not read; more than the capacity if the reader lies.
  [[nodiscard]] std::uint64_t pending() const noexcept;

  // The reader's parked word, zeroed; call after try_write. Non-zero: wake the reader.
  std::uint32_t take_parked_reader() noexcept { return take(header_->reader_parked); }
  [[nodiscard]] std::uint32_t parked_reader() const noexcept;
  // Says that this writer is about to sleep for room; try once more before sleeping.
  void park(std::uint32_t word) noexcept;

 private:
  void copy_in(std::uint64_t at, std::span<const std::byte> bytes) noexcept;

  std::uint64_t head_ = 0;  // this side's truth; the shared one is for the reader
};

class ring_reader : public ring_end {
 public:
  using ring_end::ring_end;

  // Moves the next message into `message`. Never blocks.
  ring_status try_read(std::vector<std::byte>& message);

  // True when a message (or nonsense) is there.
  [[nodiscard]] bool readable() const noexcept;

  std::uint32_t take_parked_writer() noexcept { return take(header_->writer_parked); }
  // Says that this reader is about to sleep (non-zero) or is awake (zero); look at readable() once more
  // before sleeping.
  void park(std::uint32_t word) noexcept;

 private:
  void copy_out(std::uint64_t at, std::span<std::byte> bytes) const noexcept;

  std::uint64_t tail_ = 0;
};

}  // namespace triga::shm
