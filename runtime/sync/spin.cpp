// SPDX-License-Identifier: MIT
#include "runtime/sync/spin.h"

#include <sched.h>

#include <algorithm>
#include <array>

#include "runtime/sync/pause.h"
#include "runtime/trace/counters.h"

namespace triga::sync {
namespace {

using namespace std::chrono_literals;

// A yield that comes back sooner has run nobody else, or not for long.
constexpr nanoseconds nobody_ran = 1500ns;
// A yield to somebody who has a lot to do lasts for a time slice, while a thread that slept would have been
// let in at its wake: where this dear mistake happens again and again it is made seldom.
constexpr nanoseconds time_slice = 500us;
constexpr unsigned usual_penalty = 255;
constexpr unsigned first_dear_penalty = 63;
constexpr unsigned longest_penalty = 4095;
// How often a thread that has one processor gives way before it takes it that nobody else is there to run.
constexpr unsigned rounds_alone = 6;
// How long the one that woke us may need to let go of the lock.
constexpr nanoseconds longest_handover = 25us;

// What this thread has learned about one kind of waiting.
struct experience {
  std::uint16_t to_skip = 0;  // waits to come without a spin
  std::uint16_t penalty = 0;  // waits to skip after the last fruitless spin
};

struct learned {
  std::array<experience, static_cast<std::size_t>(waiting_for::count_)> places{};
  bool one_processor = true;
  bool asked = false;
};

learned& of_this_thread() noexcept {
  thread_local learned mine;
  return mine;
}

// A system call, so asked at the first spin and after each fruitless one: a program may change it.
bool only_one_processor() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

}  // namespace

spin::spin(waiting_for what) noexcept : what_(what) {
  learned& mine = of_this_thread();
  experience& place = mine.places[static_cast<std::size_t>(what)];
  if (place.to_skip != 0) {
    --place.to_skip;
    return;
  }
  if (!mine.asked) {
    mine.one_processor = only_one_processor();
    mine.asked = true;
  }
  began_ = going_on_ = true;
  last_ = handover::releases_.load(std::memory_order_relaxed);
  began_at_ = monotonic_clock::now();
  limit_ = began_at_ + longest_spin;
}

bool spin::relax() noexcept {
  pause();
  return true;
}

// Lets others run. False: it is time to sleep.
bool spin::next_round() noexcept {
  const time_point before = monotonic_clock::now();
  if (before < limit_) {
    sched_yield();
    const nanoseconds away = monotonic_clock::now() - before;
    const bool others_ran = away > nobody_ran;
    if (others_ran) given_away_ += away;
    // Others may have run for a moment that cannot be told from none, hence a few rounds.
    if (others_ran || looks_ < looks_a_round * rounds_alone || !of_this_thread().one_processor) return true;
  }
  going_on_ = false;
  return false;
}

bool spin::succeeded() noexcept {
  paid_ = true;
  // A thread says that it is over when it has let go of the lock already, and will not do so again.
  if (what_ == waiting_for::thread_end) return true;
  // Nobody speaks of handovers here; or the lock has been let go of since the last look that saw nothing.
  if (last_ == 0 || handover::releases_.load(std::memory_order_relaxed) != before_) return true;
  const std::uint32_t held = before_;
  limit_ = monotonic_clock::now() + longest_handover;
  while (again()) {
    if (handover::releases_.load(std::memory_order_relaxed) != held) return true;
  }
  paid_ = false;
  return true;
}

void spin::finish() noexcept {
  const nanoseconds lasted = monotonic_clock::now() - began_at_;
  trace::count(trace::counter::spins);
  trace::count(trace::counter::spin_nanoseconds,
               static_cast<std::uint64_t>(std::max<std::int64_t>((lasted - given_away_).count(), 0)));
  learned& mine = of_this_thread();
  experience& place = mine.places[static_cast<std::size_t>(what_)];
  if (paid_ && lasted <= longest_spin) {
    trace::count(trace::counter::spins_paid);
    place.penalty /= 2;
    return;
  }
  place.penalty = static_cast<std::uint16_t>(
      given_away_ > time_slice
          ? std::min(8U * place.penalty + first_dear_penalty, longest_penalty)
          : std::max<unsigned>(place.penalty, std::min(2U * place.penalty + 1U, usual_penalty)));
  place.to_skip = place.penalty;
  mine.one_processor = only_one_processor();
}

}  // namespace triga::sync
