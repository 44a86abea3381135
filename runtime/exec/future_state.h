// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "runtime/base/clock.h"
#include "runtime/sync/futex.h"

namespace triga::exec {

// How far a future has come; the names are concurrent.futures'.
enum class progress : std::uint32_t { pending, running, cancelled, cancelled_and_notified, finished };

// The life of one future in one word, on which threads can sleep until it is done. The result itself is the
// owner's: it is stored before finish() and may be read after done() said true.
class future_state {
 public:
  [[nodiscard]] progress now() const noexcept {
    // acquire: pairs with the release in finish(), after which the result may be read.
    return static_cast<progress>(word_.load(std::memory_order_acquire) & progress_bits);
  }
  [[nodiscard]] bool done() const noexcept { return now() >= progress::cancelled; }

  // pending -> running. False: it was not pending.
  bool start() noexcept { return move(progress::pending, progress::running); }

  // pending -> cancelled, and wakes the sleepers. False: it was not pending.
  bool cancel() noexcept { return move(progress::pending, progress::cancelled); }

  // cancelled -> cancelled_and_notified. False: it was not cancelled.
  bool notify_cancelled() noexcept { return move(progress::cancelled, progress::cancelled_and_notified); }

  // pending or running -> finished, and wakes the sleepers. False: it was done already.
  bool finish() noexcept {
    return move(progress::running, progress::finished) || move(progress::pending, progress::finished);
  }

  // Sets any progress, as a test may, and wakes the sleepers.
  void force(progress to) noexcept;

  // Sleeps until done, but no longer than `deadline`, a signal handler or a spurious wake: look again.
  sync::wait_status sleep_until_done(time_point deadline) noexcept;

  // In a forked child: nobody sleeps here.
  void forget_sleepers() noexcept { word_.fetch_and(progress_bits, std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t progress_bits = 7;
  static constexpr std::uint32_t sleepers_bit = 8;  // somebody may sleep: the one that finishes has to wake

  bool move(progress from, progress to) noexcept;
  void wake_sleepers(std::uint32_t before) noexcept;

  sync::futex_word word_{0};
};

}  // namespace triga::exec
