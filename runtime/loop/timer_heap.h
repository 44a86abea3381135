// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/base/clock.h"

namespace triga::loop {

// Timers by deadline; equal deadlines come due in the order of insertion (asyncio's heap promises no order
// there).
//
// The problem: most timers are timeouts, cancelled long before they come due, and taking one out of the
// middle of a heap needs its place to be tracked through every move. So cancelling is lazy, as in asyncio:
// the owner marks its timer and tells the heap that one more is dead, which costs O(1). Dead timers leave at
// the top, or all at once when they are more than half of more than a hundred.
//
// `Timer` is a pointer or another cheap value; `is_dead(timer)` tells a cancelled one; `drop(timer)` takes
// one back.
template <class Timer>
class timer_heap {
 public:
  struct entry {
    time_point when;
    std::uint64_t sequence;
    Timer timer;
  };

  [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] std::size_t dead() const noexcept { return dead_; }
  [[nodiscard]] const std::vector<entry>& entries() const noexcept { return entries_; }

  void push(time_point when, Timer timer) {
    entries_.push_back({when, next_sequence_++, timer});
    std::push_heap(entries_.begin(), entries_.end(), later);
  }

  // One timer on the heap was cancelled. It is taken out at some later call of next_deadline().
  void note_cancelled() noexcept { ++dead_; }

  // The deadline of the first live timer, or `never`. Drops what is dead on the way.
  template <class IsDead, class Drop>
  time_point next_deadline(IsDead is_dead, Drop drop) {
    if (dead_ > compact_from && dead_ * 2 > entries_.size()) compact(is_dead, drop);
    while (!entries_.empty() && is_dead(entries_.front().timer)) {
      if (dead_ > 0) --dead_;
      drop(take_first());
    }
    return entries_.empty() ? never : entries_.front().when;
  }

  // Is the first timer, live or dead, due at `now`?
  [[nodiscard]] bool due(time_point now) const noexcept {
    return !entries_.empty() && entries_.front().when <= now;
  }

  // Takes the first timer out. Requires that the heap is not empty; a dead one is the caller's to notice (and
  // to report by took_dead()).
  Timer take_first() {
    std::pop_heap(entries_.begin(), entries_.end(), later);
    Timer timer = entries_.back().timer;
    entries_.pop_back();
    return timer;
  }
  void took_dead() noexcept {
    if (dead_ > 0) --dead_;
  }

  // Takes everything out, in no order.
  template <class Drop>
  void clear(Drop drop) {
    std::vector<entry> all;
    all.swap(entries_);  // drop() may run Python code that comes back here
    dead_ = 0;
    for (const entry& each : all) drop(each.timer);
  }

 private:
  static constexpr std::size_t compact_from = 100;

  static bool later(const entry& left, const entry& right) noexcept {
    return left.when != right.when ? left.when > right.when : left.sequence > right.sequence;
  }

  template <class IsDead, class Drop>
  void compact(IsDead is_dead, Drop drop) {
    const auto live_end = std::partition(entries_.begin(), entries_.end(),
                                         [&](const entry& each) { return !is_dead(each.timer); });
    const std::vector<entry> gone(live_end, entries_.end());
    entries_.erase(live_end, entries_.end());
    std::make_heap(entries_.begin(), entries_.end(), later);
    dead_ = 0;
    for (const entry& each : gone) drop(each.timer);
  }

  std::vector<entry> entries_;
  std::size_t dead_ = 0;
  std::uint64_t next_sequence_ = 0;
};

}  // namespace triga::loop
