// SPDX-License-Identifier: MIT
#include "runtime/shm/slab.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace triga::shm {
namespace {

// Blocks never share a page: one can be given back while its neighbour is in use.
constexpr std::uint64_t page = 4096;

std::atomic<std::uint64_t> forks{0};

}  // namespace

// Relaxed: a fork and the drop of a block that the child inherits are ordered by the caller's own program.
void note_fork() noexcept { forks.fetch_add(1, std::memory_order_relaxed); }

std::uint64_t forks_noted() noexcept { return forks.load(std::memory_order_relaxed); }

std::optional<std::size_t> region::kept_place_of(block_reference where) const noexcept {
  if (!places || where.offset < begin) return std::nullopt;
  const std::uint64_t place = (where.offset - begin) / kept_place_size;
  if (place >= kept_places || where.offset != begin + place * kept_place_size) return std::nullopt;
  return place;
}

block::block(std::shared_ptr<const segment> home, block_reference where, const region& in) noexcept
    : home_(std::move(home)), where_(where), forks_(forks_noted()) {
  if (const auto place = in.kept_place_of(where)) {
    keep_ = in.keep;
    used_ = {in.places, &in.places->used[*place]};
  }
}

void block::give_back() noexcept {
  const std::uint64_t kept = std::min(keep_, where_.length);
  home_->discard(where_.offset + kept, where_.length - kept);
  // Release: who sees it free may write where this process has read.
  if (used_) used_->store(0, std::memory_order_release);
}

slab_writer::slab_writer(region in) noexcept
    : next_(in.begin + (in.places ? kept_places * kept_place_size : 0)), in_(std::move(in)) {}

// The one whose pages suffice and are fewest, else the one that has most.
std::optional<std::size_t> slab_writer::free_place(std::uint64_t length) const noexcept {
  std::optional<std::size_t> best;
  if (!in_.places || length > kept_place_size) return best;
  const auto is_better = [&](std::uint64_t one, std::uint64_t other) {
    return (one >= length) != (other >= length) ? one >= length : (one >= length) == (one < other);
  };
  for (std::size_t i = 0; i < kept_places; ++i) {
    // Acquire: the reader has read what it frees.
    if (in_.places->used[i].load(std::memory_order_acquire) != 0) continue;
    if (!best || is_better(present_[i], present_[*best])) best = i;
  }
  return best;
}

result<block_reference> slab_writer::reserve(std::uint64_t length) noexcept {
  if (const auto place = free_place(length)) {
    // Relaxed: the reader is told of the place by the ring.
    in_.places->used[*place].store(1, std::memory_order_relaxed);
    present_[*place] = std::max(present_[*place], std::min(length, in_.keep));
    return block_reference{in_.begin + *place * kept_place_size, length};
  }
  const std::uint64_t room = in_.end - next_;
  if (length > room) return result<block_reference>::failure(ENOSPC);
  const block_reference where{next_, length};
  const std::uint64_t rounded = (length + page - 1) / page * page;
  next_ += rounded < room ? rounded : room;
  return where;
}

void slab_writer::take_back(block_reference where, const segment& home) noexcept {
  const auto place = in_.kept_place_of(where);
  // A kept place may hold more than this payload, from an earlier one.
  home.discard(where.offset, place ? std::max(where.length, present_[*place]) : where.length);
  if (!place) return;
  present_[*place] = 0;
  in_.places->used[*place].store(0, std::memory_order_relaxed);  // only this side reads it now
}

bool lies_within(block_reference where, std::uint64_t begin, std::uint64_t end) noexcept {
  return where.offset >= begin && where.offset <= end && where.length != 0 &&
         where.length <= end - where.offset;
}

}  // namespace triga::shm
