// SPDX-License-Identifier: MIT
#include "runtime/sync/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace triga::sync {
namespace {

int operation(int base, futex_scope scope) noexcept {
  return scope == futex_scope::process ? base | FUTEX_PRIVATE_FLAG : base;
}

}  // namespace

wait_status futex_wait(futex_word& word, std::uint32_t expected, time_point deadline,
                       futex_scope scope) noexcept {
  timespec until{};
  timespec* timeout = nullptr;
  if (deadline != never) {
    until = to_timespec(deadline.time_since_epoch());
    timeout = &until;
  }
  // FUTEX_WAIT_BITSET, unlike FUTEX_WAIT, takes an absolute time on CLOCK_MONOTONIC.
  const long outcome = syscall(SYS_futex, &word, operation(FUTEX_WAIT_BITSET, scope), expected, timeout,
                               nullptr, FUTEX_BITSET_MATCH_ANY);
  if (outcome == 0 || errno == EAGAIN) return wait_status::woken;
  if (errno == ETIMEDOUT) return wait_status::timed_out;
  return errno == EINTR ? wait_status::interrupted : wait_status::woken;
}

int futex_wake(futex_word& word, int count, futex_scope scope) noexcept {
  const long woken = syscall(SYS_futex, &word, operation(FUTEX_WAKE, scope), count, nullptr, nullptr, 0);
  return woken < 0 ? 0 : static_cast<int>(woken);
}

}  // namespace triga::sync
