// SPDX-License-Identifier: MIT
#include "runtime/exec/future_state.h"

#include <climits>

#include "runtime/trace/counters.h"

namespace triga::exec {

bool future_state::move(progress from, progress to) noexcept {
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  for (;;) {
    if (static_cast<progress>(word & progress_bits) != from) return false;
    const std::uint32_t sleepers = to >= progress::cancelled ? 0 : word & sleepers_bit;
    // release: what the caller stored before, the result above all, is seen by whoever sees the new progress.
    if (word_.compare_exchange_weak(word, static_cast<std::uint32_t>(to) | sleepers,
                                    std::memory_order_release, std::memory_order_relaxed)) {
      break;
    }
  }
  if (to >= progress::cancelled) wake_sleepers(word);
  return true;
}

void future_state::force(progress to) noexcept {
  wake_sleepers(word_.exchange(static_cast<std::uint32_t>(to), std::memory_order_release));
}

void future_state::wake_sleepers(std::uint32_t before) noexcept {
  if ((before & sleepers_bit) == 0) return;
  sync::futex_wake(word_, INT_MAX);
  trace::count(trace::counter::wakes);
}

sync::wait_status future_state::sleep_until_done(time_point deadline) noexcept {
  // acquire: as in now().
  std::uint32_t word = word_.load(std::memory_order_acquire);
  do {
    if (static_cast<progress>(word & progress_bits) >= progress::cancelled) return sync::wait_status::woken;
  } while (!word_.compare_exchange_weak(word, word | sleepers_bit, std::memory_order_acquire));
  return sync::futex_wait(word_, word | sleepers_bit, deadline);
}

}  // namespace triga::exec
