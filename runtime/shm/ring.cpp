// SPDX-License-Identifier: MIT
#include "runtime/shm/ring.h"

#include <algorithm>
#include <cstring>

namespace triga::shm {
namespace {

using length_type = std::uint64_t;

constexpr std::uint64_t padded(std::uint64_t size) noexcept { return (size + 7) & ~std::uint64_t{7}; }

std::span<const std::byte> bytes_of(const length_type& length) noexcept {
  return std::as_bytes(std::span<const length_type, 1>(&length, 1));
}

}  // namespace

ring_end::ring_end(std::span<std::byte> memory, std::size_t capacity) noexcept
    : header_(reinterpret_cast<ring_header*>(memory.data())),
      data_(memory.data() + sizeof(ring_header)),
      capacity_(capacity) {}

std::uint32_t ring_end::take(std::atomic<std::uint32_t>& parked) noexcept {
  // The full fence between publishing and looking for a sleeper: see "Parking". As a read-modify-write it
  // also orders under ThreadSanitizer, which does not know fences.
  if (parked.fetch_add(0, std::memory_order_seq_cst) == 0) return 0;
  return parked.exchange(0, std::memory_order_seq_cst);
}

void ring_writer::copy_in(std::uint64_t at, std::span<const std::byte> bytes) noexcept {
  const std::size_t offset = at & (capacity_ - 1);
  const std::size_t first = std::min(bytes.size(), capacity_ - offset);
  if (first != 0) std::memcpy(data_ + offset, bytes.data(), first);
  if (first != bytes.size()) std::memcpy(data_, bytes.data() + first, bytes.size() - first);
}

ring_status ring_writer::try_write(std::span<const std::span<const std::byte>> pieces) noexcept {
  length_type length = 0;
  for (const auto& piece : pieces) length += piece.size();
  if (length > largest()) return ring_status::too_large;
  const std::uint64_t needed = sizeof(length) + padded(length);
  const std::uint64_t used = pending();
  if (used > capacity_) return ring_status::corrupt;
  if (needed > capacity_ - used) return ring_status::would_block;
  std::uint64_t at = head_;
  copy_in(at, bytes_of(length));
  at += sizeof(length);
  for (const auto& piece : pieces) {
    copy_in(at, piece);
    at += piece.size();
  }
  head_ += needed;
  // Release: the reader that sees this head sees the bytes. seq_cst because of parking.
  header_->head.store(head_, std::memory_order_seq_cst);
  return ring_status::done;
}

std::uint64_t ring_writer::pending() const noexcept {
  // Acquire: the reader has copied out what it passed, so those bytes may be overwritten.
  return head_ - header_->tail.load(std::memory_order_acquire);
}

bool ring_writer::drained() const noexcept { return pending() == 0; }

std::uint32_t ring_writer::parked_reader() const noexcept {
  return header_->reader_parked.load(std::memory_order_seq_cst);
}

void ring_writer::park(std::uint32_t word) noexcept {
  header_->writer_parked.exchange(word, std::memory_order_seq_cst);
}

void ring_reader::copy_out(std::uint64_t at, std::span<std::byte> bytes) const noexcept {
  const std::size_t offset = at & (capacity_ - 1);
  const std::size_t first = std::min(bytes.size(), capacity_ - offset);
  if (first != 0) std::memcpy(bytes.data(), data_ + offset, first);
  if (first != bytes.size()) std::memcpy(bytes.data() + first, data_, bytes.size() - first);
}

ring_status ring_reader::try_read(std::vector<std::byte>& message) {
  const std::uint64_t available = header_->head.load(std::memory_order_acquire) - tail_;
  if (available == 0) return ring_status::would_block;
  length_type length = 0;
  if (available > capacity_ || available < sizeof(length) || available % 8 != 0) return ring_status::corrupt;
  copy_out(tail_, std::as_writable_bytes(std::span<length_type, 1>(&length, 1)));
  if (length > available - sizeof(length)) return ring_status::corrupt;
  message.resize(length);
  copy_out(tail_ + sizeof(length), message);
  tail_ += sizeof(length) + padded(length);
  // Release: the copy above happens before the writer reuses the bytes. seq_cst because of parking.
  header_->tail.store(tail_, std::memory_order_seq_cst);
  return ring_status::done;
}

bool ring_reader::readable() const noexcept { return header_->head.load(std::memory_order_seq_cst) != tail_; }

void ring_reader::park(std::uint32_t word) noexcept {
  header_->reader_parked.exchange(word, std::memory_order_seq_cst);
}

}  // namespace triga::shm
