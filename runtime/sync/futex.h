// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/base/clock.h"

namespace triga::sync {

// A futex word. Threads of one process use futex_scope::process; words in shared memory need
// futex_scope::shared, which makes the kernel look the word up by its page instead of its address.
using futex_word = std::atomic<std::uint32_t>;
enum class futex_scope { process, shared };

enum class wait_status {
  woken,        // by a wake, or because the word no longer held `expected`, or spuriously: look again
  timed_out,    // the deadline passed
  interrupted,  // a signal handler ran: a Python caller has to run its signal handlers now
};

// Sleeps while `word` holds `expected`, until `deadline` on CLOCK_MONOTONIC. futex(2), FUTEX_WAIT_BITSET.
wait_status futex_wait(futex_word& word, std::uint32_t expected, time_point deadline,
                       futex_scope scope = futex_scope::process) noexcept;

// Wakes at most `count` sleepers and returns how many there were.
int futex_wake(futex_word& word, int count, futex_scope scope = futex_scope::process) noexcept;

}  // namespace triga::sync
