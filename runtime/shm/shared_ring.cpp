// SPDX-License-Identifier: MIT
#include "runtime/shm/shared_ring.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace triga::shm {
namespace {

using length_type = std::uint64_t;
constexpr std::size_t unit = 8;

constexpr std::size_t in_units(std::size_t size) noexcept { return (size + unit - 1) & ~(unit - 1); }

// One end of the messages: how many bytes were put (or taken) since the beginning, in units of 8, and how
// many messages, both modulo 2^32. A ring of at most 2^30 bytes never holds so much that the differences are
// ambiguous.
struct mark {
  std::uint32_t units;
  std::uint32_t count;

  static mark of(std::uint64_t word) noexcept { return std::bit_cast<mark>(word); }
  [[nodiscard]] std::uint64_t word() const noexcept { return std::bit_cast<std::uint64_t>(*this); }
  [[nodiscard]] mark after(std::size_t bytes) const noexcept {
    return {static_cast<std::uint32_t>(units + bytes / unit), count + 1};
  }
  [[nodiscard]] std::size_t bytes_since(mark earlier) const noexcept {
    return std::size_t{static_cast<std::uint32_t>(units - earlier.units)} * unit;
  }
};
static_assert(sizeof(mark) == sizeof(std::uint64_t));

using locking = owner_lock::status;

locking acquire(owner_lock& lock, shared_ring::patience how) noexcept {
  return how == shared_ring::patience::none ? lock.try_lock() : lock.lock();
}

// Runs `work` under the lock.
template <class Work>
shared_ring::status under(owner_lock& lock, shared_ring::patience how, Work work) {
  const locking got = acquire(lock, how);
  if (got == locking::busy) return shared_ring::status::busy;
  if (got == locking::interrupted) return shared_ring::status::interrupted;
  const lock_holder held(lock);
  const shared_ring::status status = work();
  return got == locking::recovered && status == shared_ring::status::done ? shared_ring::status::recovered
                                                                          : status;
}

}  // namespace

shared_ring::shared_ring(std::span<std::byte> memory, std::size_t capacity) noexcept
    : header_(reinterpret_cast<shared_ring_header*>(memory.data())),
      data_(memory.data() + sizeof(shared_ring_header)),
      capacity_(capacity) {}

void shared_ring::copy_in(std::size_t at, std::span<const std::byte> bytes) noexcept {
  const std::size_t offset = at & (capacity_ - 1);
  const std::size_t first = std::min(bytes.size(), capacity_ - offset);
  if (first != 0) std::memcpy(data_ + offset, bytes.data(), first);
  if (first != bytes.size()) std::memcpy(data_, bytes.data() + first, bytes.size() - first);
}

void shared_ring::copy_out(std::size_t at, std::span<std::byte> bytes) const noexcept {
  const std::size_t offset = at & (capacity_ - 1);
  const std::size_t first = std::min(bytes.size(), capacity_ - offset);
  if (first != 0) std::memcpy(bytes.data(), data_ + offset, first);
  if (first != bytes.size()) std::memcpy(bytes.data() + first, data_, bytes.size() - first);
}

shared_ring::status shared_ring::put(std::span<const std::span<const std::byte>> pieces, std::uint32_t most,
                                     patience how) noexcept {
  std::size_t length = 0;
  for (const auto& piece : pieces) length += piece.size();
  if (length > capacity_ - sizeof(length_type)) return status::too_large;
  return under(header_->putting, how, [&] { return put_locked(pieces, length, most); });
}

shared_ring::status shared_ring::put_locked(std::span<const std::span<const std::byte>> pieces,
                                            std::size_t length, std::uint32_t most) noexcept {
  // Relaxed: stored under this lock. Acquire: what was taken has been copied out, so its bytes are free.
  const mark head = mark::of(header_->head.load(std::memory_order_relaxed));
  const mark tail = mark::of(header_->tail.load(std::memory_order_acquire));
  const std::size_t used = head.bytes_since(tail);
  if (used > capacity_) return status::corrupt;
  if (head.count - tail.count >= most) return status::full;
  const std::size_t needed = sizeof(length_type) + in_units(length);
  if (needed > capacity_ - used) return status::no_space;
  std::size_t at = std::size_t{head.units} * unit;
  const length_type written = length;
  copy_in(at, std::as_bytes(std::span<const length_type, 1>(&written, 1)));
  at += sizeof(written);
  for (const auto& piece : pieces) {
    copy_in(at, piece);
    at += piece.size();
  }
  // Release: who sees this mark sees the bytes. seq_cst because of shared_bell.
  header_->head.store(head.after(needed).word(), std::memory_order_seq_cst);
  return status::done;
}

shared_ring::status shared_ring::take(std::vector<std::byte>& message, patience how) {
  if (empty()) return status::empty;
  return under(header_->taking, how, [&] { return take_locked(message); });
}

shared_ring::status shared_ring::take_locked(std::vector<std::byte>& message) {
  // Relaxed: stored under this lock. Acquire: the bytes of what was put are seen.
  const mark tail = mark::of(header_->tail.load(std::memory_order_relaxed));
  const mark head = mark::of(header_->head.load(std::memory_order_acquire));
  if (head.word() == tail.word()) return status::empty;
  const std::size_t available = head.bytes_since(tail);
  if (available > capacity_ || available < sizeof(length_type)) return status::corrupt;
  const std::size_t at = std::size_t{tail.units} * unit;
  length_type length = 0;
  copy_out(at, std::as_writable_bytes(std::span<length_type, 1>(&length, 1)));
  if (length > available - sizeof(length)) return status::corrupt;
  message.resize(length);
  copy_out(at + sizeof(length), message);
  // Release: the copy above is done before the bytes are written again. seq_cst because of shared_bell.
  header_->tail.store(tail.after(sizeof(length) + in_units(length)).word(), std::memory_order_seq_cst);
  return status::done;
}

std::uint32_t shared_ring::size() const noexcept {
  const mark tail = mark::of(header_->tail.load(std::memory_order_seq_cst));
  const std::uint32_t count = mark::of(header_->head.load(std::memory_order_seq_cst)).count - tail.count;
  return std::min<std::uint32_t>(count, static_cast<std::uint32_t>(capacity_ / unit));
}

bool shared_ring::empty() const noexcept {
  const std::uint64_t tail = header_->tail.load(std::memory_order_seq_cst);
  return header_->head.load(std::memory_order_seq_cst) == tail;
}

std::size_t shared_ring::used() const noexcept {
  const mark tail = mark::of(header_->tail.load(std::memory_order_seq_cst));
  return mark::of(header_->head.load(std::memory_order_seq_cst)).bytes_since(tail);
}

std::uint32_t shared_ring::puts() const noexcept {
  return mark::of(header_->head.load(std::memory_order_seq_cst)).count;
}

}  // namespace triga::shm
