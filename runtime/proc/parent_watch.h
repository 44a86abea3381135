// SPDX-License-Identifier: MIT
#pragma once

namespace triga::proc {

// From now on this process is killed when the process of the descriptor ends, whatever it is doing.
//
// A worker that waits for a task watches its parent, but one that runs a task does not, and a watching thread
// would make every worker a multi-threaded process. PR_SET_PDEATHSIG alone is no answer, as it goes off when
// the *thread* that forked ends. So the signal (SIGRTMAX - 5) has a handler that looks whether the process
// has ended, and else returns.
//
// `process` is a pidfd that stays open; the watch is for the process, so for one parent at a time. Throws
// std::system_error. If the parent has ended already, this does not return.
void die_with(int process);

}  // namespace triga::proc
