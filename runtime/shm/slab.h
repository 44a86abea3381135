// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/shm/place_maps.h"
#include "runtime/shm/segment.h"

namespace triga::shm {

// Where a large payload lies in a segment; this much of it travels through the ring.
struct block_reference {
  std::uint64_t offset;
  std::uint64_t length;
};

// The places at the beginning of a region that are used again and again, in shared memory: 1 while in use.
//
// A fresh page costs three times what copying to it does. So the sender takes a place that is free, and the
// receiver, when the payload has been read, frees it and leaves it its pages. A receiver that dies or goes
// mad spoils nothing of others: a place that never comes free is not used again (payloads go to places that
// are used once), and one that comes free too early has something else in it that this receiver is to read.
struct place_words {
  std::array<std::atomic<std::uint32_t>, kept_places> used;
};

// The part of a segment in which the payloads of one direction lie.
struct region {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t keep = 0;               // of so many bytes the pages stay with a kept place
  std::shared_ptr<place_words> places;  // null: all places are used once
  std::shared_ptr<place_maps> maps;     // null: what is copied goes through read(2) and write(2)
  // So long a MiB of a payload its sender waits for a place that has the pages, before it takes fresh ones,
  // which cost more. A receiver answers before it lets go of what it was sent.
  nanoseconds patience = std::chrono::microseconds(64);

  // Which kept place that is; nullopt if it is one that is used once.
  [[nodiscard]] std::optional<std::size_t> kept_place_of(block_reference where) const noexcept;
};

// The kept place that a payload lies in.
struct kept_place {
  std::size_t number;
  std::uint64_t keep;
  std::shared_ptr<place_words> words;
  std::shared_ptr<place_maps> maps;
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
      : block(std::move(home), where, region{}) {}
  block(std::shared_ptr<const segment> home, block_reference where, const region& in) noexcept;
  block(const block&) = delete;
  block& operator=(const block&) = delete;
  block(block&& other) noexcept = default;
  block& operator=(block&& other) noexcept {
    std::swap(home_, other.home_);
    std::swap(where_, other.where_);
    std::swap(forks_, other.forks_);
    std::swap(in_, other.in_);
    return *this;
  }
  ~block() {
    if (home_ && forks_ == forks_noted()) give_back();
  }

  [[nodiscard]] std::size_t size() const noexcept { return where_.length; }
  // The payload in place, readable and writable. Copy-on-write, so that a fork parts parent and child as
  // usual. Its pages are mapped as they are touched, 16 at a time: that takes no longer than to map all at
  // once, and who looks at a part, or passes the payload on, pays for no more.
  [[nodiscard]] result<mapping> map() const {
    return home_->map(where_.offset, where_.length, segment::access::copy_on_write);
  }
  // Whether its pages stay when it goes: it is in a kept place, which holds all of it.
  [[nodiscard]] bool keeps_its_pages() const noexcept { return in_ && where_.length <= in_->keep; }
  // Where it lies, if it can be passed on as it is, through `home`: there is nothing to be given back but its
  // place, and no fork has left it to a child.
  [[nodiscard]] std::optional<block_reference> lent_to(const segment& home) const noexcept;
  // It has been passed on: its new owner gives the place back.
  void hand_over() noexcept { home_.reset(); }

  // A copy of it; returns 0 or an errno.
  [[nodiscard]] int read(std::span<std::byte> into) const noexcept;

 private:
  void give_back() noexcept;

  std::shared_ptr<const segment> home_;
  block_reference where_;
  std::uint64_t forks_;
  std::optional<kept_place> in_;
};

// The sending side of one region of a segment. Beyond its kept places, a place is handed out once and never
// again (the region is a quarter of the 64-bit space, its pages come and go), so nothing has to be told when
// a payload has been read.
class slab_writer {
 public:
  slab_writer() noexcept = default;
  slab_writer(std::uint64_t begin, std::uint64_t end) noexcept
      : next_(begin), in_{begin, end, 0, nullptr, nullptr} {}
  explicit slab_writer(region in) noexcept;

  // A place for `length` bytes; ENOSPC when the region is used up.
  result<block_reference> reserve(std::uint64_t length) noexcept;
  // Writes a part of the payload of that place, `at` bytes after its beginning; parts come in their order.
  // Returns 0 or the errno of a machine that has no memory left.
  int write(block_reference where, std::uint64_t at, std::span<const std::byte> bytes, const segment& home);
  // Takes a place back, and its pages, that no reader has been told of.
  void take_back(block_reference where, const segment& home) noexcept;

 private:
  std::optional<std::size_t> free_place(std::uint64_t length) const noexcept;
  bool may_come_free(std::uint64_t length) const noexcept;
  std::optional<std::size_t> place_for(std::uint64_t length) const noexcept;

  std::uint64_t next_ = 0;
  region in_;
  std::size_t write_present(std::size_t place, std::uint64_t at, std::span<const std::byte> bytes,
                            const segment& home);

  std::array<std::uint64_t, kept_places> present_{};  // bytes of a kept place whose pages stay
};

// True if a reference that came from the other side lies in [begin, end).
bool lies_within(block_reference where, std::uint64_t begin, std::uint64_t end) noexcept;

}  // namespace triga::shm
