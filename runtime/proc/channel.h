// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/shm/ring.h"
#include "runtime/shm/segment.h"
#include "runtime/shm/slab.h"

// What the two ends of one worker's channel agree on: the segment's layout and the messages in its rings.
namespace triga::proc {

using byte_span = std::span<const std::byte>;

// Whether a task in the ring may still be taken back, or given up. The parent offers; the worker takes before
// it runs, the parent revokes before it gives the task to another worker: one compare-and-swap decides
// between them. The same way the worker answers, or the parent condemns the task that runs, before it kills
// the worker: so no kill hits the next task.
enum class claim : std::uint32_t { none, offered, taken, revoked, answered, condemned };

constexpr std::uint32_t value_of(claim state) noexcept { return static_cast<std::uint32_t>(state); }

inline constexpr std::size_t claim_slots = 1024;

struct channel_header {
  std::uint64_t magic;
  std::uint64_t ring_capacity;
  std::uint64_t keep;                    // see shm::region
  std::atomic<std::int64_t> busy_since;  // by the monotonic clock; set by the worker as it takes a timed task
  shm::place_words task_places;
  shm::place_words result_places;
  std::atomic<std::uint32_t> stop;  // set by the parent: finish what the ring holds, then exit
  alignas(64) std::array<std::atomic<std::uint32_t>, claim_slots> claims;
};

inline constexpr std::uint64_t channel_magic = 0x7472'6967'6103'0002;
inline constexpr std::size_t smallest_ring = std::size_t{1} << 12;
inline constexpr std::size_t largest_ring = std::size_t{1} << 30;

// Large payloads lie beyond the rings, a region a direction; see shm::slab_writer.
inline constexpr std::uint64_t task_slab_begin = std::uint64_t{1} << 40;
inline constexpr std::uint64_t task_slab_end = std::uint64_t{1} << 60;
inline constexpr std::uint64_t result_slab_begin = task_slab_end;
inline constexpr std::uint64_t result_slab_end = std::uint64_t{1} << 61;

// The rings of a channel, mapped. `tasks` lead to the worker, `results` back.
struct channel_memory {
  std::shared_ptr<const shm::mapping> mapped;  // shared with the payloads in kept places
  std::size_t capacity = 0;
  std::uint64_t keep = 0;

  [[nodiscard]] channel_header& header() const noexcept {
    return *reinterpret_cast<channel_header*>(mapped->data());
  }
  [[nodiscard]] std::span<std::byte> task_ring() const noexcept;
  [[nodiscard]] std::span<std::byte> result_ring() const noexcept;
  // Where large tasks and large results lie.
  [[nodiscard]] shm::region task_slab() const noexcept;
  [[nodiscard]] shm::region result_slab() const noexcept;
  [[nodiscard]] std::atomic<std::uint32_t>& claim_of(std::uint64_t sequence) const noexcept {
    return header().claims[sequence % claim_slots];
  }
};

struct channel_options {
  std::size_t ring_capacity = std::size_t{1} << 18;  // bytes, a power of two; a ring a direction
  std::uint64_t keep = 0;  // of so many bytes the pages stay with each kept place; see shm::region
};
result<shm::segment> create_channel(const channel_options& options);
// EPROTO if the segment is no channel.
result<channel_memory> open_channel(const shm::segment& home);

// A message's content before it is sent: a body, which may come in pieces, and buffers that the receiver gets
// apart from it, each in memory of its own (pickle's out-of-band buffers).
struct content {
  std::span<const byte_span> body;
  std::span<const byte_span> buffers;
  // For each buffer the received block that holds the same bytes, or null; empty: all null. Where such a
  // block can be passed on, nothing is copied, and the sender has it no more once the message is sent.
  std::span<shm::block* const> received = {};

  [[nodiscard]] std::size_t body_size() const noexcept;
};

struct message_header {
  std::uint64_t sequence;
  std::uint16_t tag;
  std::uint16_t body_in_block;  // 1: the first block is the body
  std::uint32_t blocks;
};

// A message as it was received.
class message {
 public:
  std::uint64_t sequence = 0;
  std::uint16_t tag = 0;
  std::vector<shm::block> buffers;

  // nullopt if the bytes, which another process wrote, make no message: every reference has to lie in the
  // region, or in a kept place of `returned`, whose blocks may be passed back, and name no more than the
  // segment holds.
  static std::optional<message> parse(std::vector<std::byte> raw,
                                      const std::shared_ptr<const shm::segment>& home, const shm::region& in,
                                      const shm::region* returned = nullptr);

  // The body as sent, or an errno if its block cannot be mapped now. Valid as long as the message.
  result<byte_span> body();
  // The same without mapping: its size, and a copy of it to memory of that size. Returns 0 or an errno.
  [[nodiscard]] std::size_t body_size() const noexcept {
    return body_block_ ? body_block_->size() : raw_.size() - body_at_;
  }
  [[nodiscard]] int read_body(std::span<std::byte> into) const noexcept;
  // What of it lies beside the ring.
  [[nodiscard]] std::uint64_t block_bytes() const noexcept;
  // Whether body() has to map it, which takes a system call and can fail.
  [[nodiscard]] bool body_in_slab() const noexcept { return body_block_.has_value(); }

 private:
  std::vector<std::byte> raw_;
  std::size_t body_at_ = 0;
  std::optional<shm::block> body_block_;
  shm::mapping body_mapping_;
};

// A message ready for a ring: what is large has been written to the slab.
class envelope {
 public:
  // Bodies over `inline_limit` and all buffers go to the slab. The errno of a full machine comes back.
  static result<envelope> stage(const content& what, std::uint64_t sequence, std::uint16_t tag,
                                std::size_t inline_limit, shm::slab_writer& slab, const shm::segment& home);

  shm::ring_status write(shm::ring_writer& ring) const noexcept { return ring.try_write(pieces_); }
  [[nodiscard]] std::span<const shm::block_reference> blocks() const noexcept { return blocks_; }
  [[nodiscard]] std::span<const byte_span> pieces() const noexcept { return pieces_; }
  // Bytes of content.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // Gives the slab's places and pages back; for a message that was never sent.
  void discard(shm::slab_writer& slab, const shm::segment& home) const noexcept;
  // The message was sent: what it passed on belongs to its receiver.
  void hand_over() const noexcept;

 private:
  int place(std::span<const byte_span> pieces, std::size_t size, shm::slab_writer& slab,
            const shm::segment& home);
  bool pass_on(shm::block* received, const shm::segment& home);

  std::vector<shm::block_reference> blocks_;
  std::vector<shm::block*> passed_on_;  // for each of blocks_ the received block that it is, or null
  std::vector<byte_span> pieces_;
  std::size_t size_ = 0;
  std::unique_ptr<message_header> stable_header_;  // pieces_ points at it, and an envelope moves
};

}  // namespace triga::proc
