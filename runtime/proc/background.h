// SPDX-License-Identifier: MIT
#pragma once

namespace triga::proc {

// Work that nobody waits for: while this process does it, it takes no processor from one that was running
// when it became ready (SCHED_BATCH, sched(7)). The scheduling policy is inherited by forks, so each of them
// leaves by itself.
//
// Does nothing under another policy than the usual one (SCHED_OTHER): who chose it had a reason.
void enter_background() noexcept;

// Back to the policy that enter_background() found, where that did something in this process or in one it was
// forked from.
void leave_background() noexcept;

}  // namespace triga::proc
