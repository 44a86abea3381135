// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "runtime/base/clock.h"
#include "runtime/sync/futex.h"

namespace triga::shm {

// Where processes sleep until another says that something changed in memory that they share.
//
// Bit 0 of the word says that somebody may sleep, the rest counts rings. It stays set as long as there are
// sleepers, and a ring that finds none clears it: so nothing has to be counted, and a sleeper that is killed
// costs the next ring one system call and no more.
//
// A sleeper that is killed after it was woken has swallowed a ring that another should have had. Hence
// `longest_sleep`: sleepers look for themselves now and then.
//
// All bits zero is a bell that nobody listens to.
class shared_bell {
 public:
  static constexpr nanoseconds longest_sleep = std::chrono::seconds(1);

  // Says that the caller is about to sleep; look once more at what is waited for, then wait() with this.
  std::uint32_t announce() noexcept { return word_.fetch_or(1, std::memory_order_seq_cst) | 1U; }

  // Sleeps for at most longest_sleep: woken also means that it is time to look.
  sync::wait_status wait(std::uint32_t announced, time_point deadline) noexcept {
    const time_point soon = deadline_after(longest_sleep);
    const bool last = deadline <= soon;
    const auto status = futex_wait(word_, announced, last ? deadline : soon, sync::futex_scope::shared);
    return status == sync::wait_status::timed_out && !last ? sync::wait_status::woken : status;
  }

  // Wakes `count` sleepers; call after the change, which has to be a seq_cst store. True if somebody slept.
  bool ring(int count = 1) noexcept {
    if ((word_.load(std::memory_order_seq_cst) & 1U) == 0) return false;
    std::uint32_t rung = word_.fetch_add(2, std::memory_order_seq_cst) + 2;
    if (sync::futex_wake(word_, count, sync::futex_scope::shared) != 0) return true;
    // Who announced meanwhile and does not sleep yet finds another word, and looks again.
    word_.compare_exchange_strong(rung, rung & ~1U, std::memory_order_seq_cst);
    return false;
  }

 private:
  sync::futex_word word_;
};

}  // namespace triga::shm
