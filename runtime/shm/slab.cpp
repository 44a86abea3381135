// SPDX-License-Identifier: MIT
#include "runtime/shm/slab.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "runtime/base/streaming_copy.h"

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
  if (const auto place = in.kept_place_of(where)) in_ = {*place, in.keep, in.places, in.maps};
}

std::optional<block_reference> block::lent_to(const segment& home) const noexcept {
  if (home_.get() != &home || !keeps_its_pages() || forks_ != forks_noted()) return std::nullopt;
  return where_;
}

int block::read(std::span<std::byte> into) const noexcept {
  std::size_t done = 0;
  if (in_ && in_->maps) {
    if (const auto mapped = in_->maps->first(in_->number, into.size(), *home_)) {
      done = std::min(into.size(), mapped->size());
      streaming_copy(into.data(), mapped->data(), done);
    }
  }
  return home_->read_at(where_.offset + done, into.subspan(done));
}

void block::give_back() noexcept {
  const std::uint64_t kept = in_ ? std::min(in_->keep, where_.length) : 0;
  home_->discard(where_.offset + kept, where_.length - kept);
  // Release: who sees it free may write where this process has read.
  if (in_) in_->words->used[in_->number].store(0, std::memory_order_release);
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

// Whether a place that has the pages for it is in use.
bool slab_writer::may_come_free(std::uint64_t length) const noexcept {
  for (std::size_t i = 0; i < kept_places; ++i) {
    // Relaxed: free_place() looks again.
    if (present_[i] >= length && in_.places->used[i].load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

// As free_place(), after a wait where one would need fresh pages and one that has them may come free. Who has
// as many payloads at once as there are places waits once: then each of them has its pages.
std::optional<std::size_t> slab_writer::place_for(std::uint64_t length) const noexcept {
  constexpr timespec moment{.tv_sec = 0, .tv_nsec = 50'000};
  auto place = free_place(length);
  const nanoseconds patience = in_.patience * static_cast<std::int64_t>(length >> 20);
  const time_point until = patience.count() > 0 ? deadline_after(patience) : time_point::min();
  while (place && present_[*place] < length && may_come_free(length) && monotonic_clock::now() < until) {
    nanosleep(&moment, nullptr);
    place = free_place(length);
  }
  return place;
}

result<block_reference> slab_writer::reserve(std::uint64_t length) noexcept {
  if (const auto place = place_for(length)) {
    // Relaxed: the reader is told of the place by the ring.
    in_.places->used[*place].store(1, std::memory_order_relaxed);
    return block_reference{in_.begin + *place * kept_place_size, length};
  }
  const std::uint64_t room = in_.end - next_;
  if (length > room) return result<block_reference>::failure(ENOSPC);
  const block_reference where{next_, length};
  const std::uint64_t rounded = (length + page - 1) / page * page;
  next_ += rounded < room ? rounded : room;
  return where;
}

int slab_writer::write(block_reference where, std::uint64_t at, std::span<const std::byte> bytes,
                       const segment& home) {
  const auto place = in_.kept_place_of(where);
  const std::size_t done = place ? write_present(*place, at, bytes, home) : 0;
  if (const int error = home.write_at(where.offset + at + done, bytes.subspan(done))) return error;
  if (place) present_[*place] = std::max(present_[*place], std::min(at + bytes.size(), in_.keep));
  return 0;
}

// Copies what goes to pages that are there, for which the machine needs no memory. (A reader that went mad
// may have given them back: then they come again as they are touched, as any memory does.) Returns how much.
std::size_t slab_writer::write_present(std::size_t place, std::uint64_t at, std::span<const std::byte> bytes,
                                       const segment& home) {
  if (!in_.maps || at >= present_[place]) return 0;
  const auto mapped = in_.maps->first(place, present_[place], home);
  if (!mapped) return 0;
  const std::size_t size = std::min<std::uint64_t>(bytes.size(), present_[place] - at);
  streaming_copy(mapped->data() + at, bytes.data(), size);
  return size;
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
