// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/base/clock.h"

namespace triga::loop {

// Timers by deadline; equal deadlines come due in the order of insertion (asyncio's heap promises no order
// there).
//
// The problem: most timers are timeouts, cancelled long before they come due, many in the turn that made
// them, and taking one out of the middle of a heap needs its place to be tracked through every move. So the
// heap orders deadlines only, each with the number of a slot that holds the timer. A new one waits beside the
// heap until somebody asks for the first deadline, and cancelling empties the slot: both cost O(1), and a
// cancelled timer is given back at once. Deadlines of empty slots leave at the top, or all at once when they
// are more than half of more than a hundred.
//
// `Timer` is a pointer, and never null.
template <class Timer>
class timer_heap {
 public:
  // Names a timer until it is taken out or cancelled.
  using ticket = std::uint32_t;

  [[nodiscard]] bool empty() const noexcept { return heap_.empty() && fresh_.empty(); }
  // With those that were cancelled and whose deadline has not left yet.
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size() + fresh_.size(); }
  [[nodiscard]] std::size_t dead() const noexcept { return dead_; }

  ticket push(time_point when, Timer timer) {
    const ticket slot = take_slot(timer);
    fresh_.push_back({when, next_sequence_++, slot});
    return slot;
  }

  // Takes a timer out.
  Timer cancel(ticket slot) noexcept {
    const Timer timer = std::exchange(slots_[slot], nullptr);
    if (!fresh_.empty() && fresh_.back().slot == slot) {
      fresh_.pop_back();
      free_.push_back(slot);  // has room: take_slot() saw to it
    } else {
      ++dead_;
    }
    return timer;
  }

  // The deadline of the first timer, or `never`.
  time_point next_deadline() {
    settle();
    if (dead_ > compact_from && dead_ * 2 > heap_.size()) compact();
    while (!heap_.empty() && slots_[heap_.front().slot] == nullptr) {
      --dead_;
      pop();
    }
    return heap_.empty() ? never : heap_.front().when;
  }

  // Is the first timer due at `now`?
  [[nodiscard]] bool due(time_point now) { return !empty() && next_deadline() <= now && !heap_.empty(); }

  // Takes the first timer out. Requires that due() has just been true of it, or next_deadline() not `never`.
  Timer take_first() {
    const Timer timer = slots_[heap_.front().slot];
    pop();
    return timer;
  }

  // Calls visit(timer) for each timer, in no order; not to be changed meanwhile. Non-zero ends, and is
  // returned.
  template <class Visit>
  int visit(Visit visit_one) const {
    for (const Timer each : slots_) {
      if (each == nullptr) continue;
      if (const int stop = visit_one(each); stop != 0) return stop;
    }
    return 0;
  }

  // Takes everything out, in no order.
  template <class Drop>
  void clear(Drop drop) {
    const std::vector<Timer> gone = std::exchange(slots_, {});
    heap_.clear();
    fresh_.clear();
    free_.clear();
    dead_ = 0;
    for (const Timer each : gone) {
      if (each != nullptr) drop(each);
    }
  }

 private:
  struct entry {
    time_point when;
    std::uint64_t sequence;
    ticket slot;
  };

  static constexpr std::size_t compact_from = 100;

  static bool later(const entry& left, const entry& right) noexcept {
    return left.when != right.when ? left.when > right.when : left.sequence > right.sequence;
  }

  ticket take_slot(Timer timer) {
    if (free_.empty()) {
      slots_.push_back(timer);
      free_.reserve(slots_.capacity());
      return static_cast<ticket>(slots_.size() - 1);
    }
    const ticket slot = free_.back();
    free_.pop_back();
    slots_[slot] = timer;
    return slot;
  }

  // Orders what came since the last look.
  void settle() {
    for (const entry& each : fresh_) {
      if (slots_[each.slot] == nullptr) {
        --dead_;
        free_.push_back(each.slot);
        continue;
      }
      heap_.push_back(each);
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
    fresh_.clear();
  }

  void pop() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const ticket slot = heap_.back().slot;
    heap_.pop_back();
    slots_[slot] = nullptr;
    free_.push_back(slot);
  }

  void compact() {
    const auto live_end = std::partition(heap_.begin(), heap_.end(),
                                         [&](const entry& each) { return slots_[each.slot] != nullptr; });
    for (auto each = live_end; each != heap_.end(); ++each) free_.push_back(each->slot);
    heap_.erase(live_end, heap_.end());
    std::make_heap(heap_.begin(), heap_.end(), later);
    dead_ = 0;
  }

  std::vector<entry> heap_;
  std::vector<entry> fresh_;  // not on the heap yet, in the order of insertion
  std::vector<Timer> slots_;  // null: cancelled or free
  std::vector<ticket> free_;  // numbers of slots that no entry names
  std::size_t dead_ = 0;      // entries whose slot is empty
  std::uint64_t next_sequence_ = 0;
};

}  // namespace triga::loop
