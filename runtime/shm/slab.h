// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "runtime/shm/segment.h"

namespace triga::shm {

// Where a large payload lies in a segment; this much of it travels through the ring.
struct block_reference {
  std::uint64_t offset;
  std::uint64_t length;
};

// Tells the blocks that this process is about to fork: see block.
void note_fork() noexcept;
std::uint64_t forks_noted() noexcept;

// A large payload in a segment, owned: its pages go back to the machine with it.
//
// A forked child inherits the payload like any other memory, and is not to find it gone when the parent drops
// it. So a block that has lived through a fork keeps its pages; they go with the segment, when nobody has it
// open or mapped.
class block {
 public:
  block(std::shared_ptr<const segment> home, block_reference where) noexcept
      : home_(std::move(home)), where_(where), forks_(forks_noted()) {}
  block(const block&) = delete;
  block& operator=(const block&) = delete;
  block(block&& other) noexcept = default;
  block& operator=(block&& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(where_, other.where_);
    std::swap(forks_, other.forks_);
    return *this;
  }
  ~block() {
    if (home_ && forks_ == forks_noted()) home_->discard(where_.offset, where_.length);
  }

  [[nodiscard]] std::size_t size() const noexcept { return where_.length; }
  // The payload in place, readable and writable. Copy-on-write, so that a fork parts parent and child as
  // usual.
  [[nodiscard]] result<mapping> map() const {
    return home_->map(where_.offset, where_.length, segment::access::copy_on_write, true);
  }
  [[nodiscard]] int read(std::span<std::byte> into) const noexcept {
    return home_->read_at(where_.offset, into);
  }

 private:
  std::shared_ptr<const segment> home_;
  block_reference where_;
  std::uint64_t forks_;
};

// The sending side of one region of a segment. Places are handed out once and never again (the region is a
// quarter of the 64-bit space, its pages come and go), so nothing has to be told when a payload has been
// read.
class slab_writer {
 public:
  slab_writer() noexcept = default;
  slab_writer(std::uint64_t begin, std::uint64_t end) noexcept : next_(begin), end_(end) {}

  // A place for `length` bytes; ENOSPC when the region is used up.
  result<block_reference> reserve(std::uint64_t length) noexcept;

 private:
  std::uint64_t next_ = 0;
  std::uint64_t end_ = 0;
};

// True if a reference that came from the other side lies in [begin, end).
bool lies_within(block_reference where, std::uint64_t begin, std::uint64_t end) noexcept;

}  // namespace triga::shm
