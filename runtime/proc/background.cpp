// SPDX-License-Identifier: MIT
#include "runtime/proc/background.h"

#include <sched.h>

#include <atomic>

namespace triga::proc {
namespace {

std::atomic<bool> in_background{false};

bool set_policy(int policy) noexcept {
  const sched_param none{};
  return ::sched_setscheduler(0, policy, &none) == 0;
}

}  // namespace

void enter_background() noexcept {
  if (::sched_getscheduler(0) == SCHED_OTHER && set_policy(SCHED_BATCH)) in_background = true;
}

void leave_background() noexcept {
  if (in_background.exchange(false)) set_policy(SCHED_OTHER);
}

}  // namespace triga::proc
