// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <span>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace triga::proc {

struct cloned {
  pid_t pid = 0;    // 0 in the clone
  unique_fd pidfd;  // of the clone; empty in it
};

// fork(2) with CLONE_PARENT: the clone is a child of the calling process's parent, not of the caller. Its
// parent can wait for it, sees it end by SIGCHLD, and is what getppid() returns in it.
//
// The C library does not know of this fork: the handlers of pthread_atfork do not run and its locks are not
// taken. So the caller must be the only thread of its process (ENOTSUP otherwise). What the library's own
// fork would set in the child is set here: the thread's cached id, by the kernel, at the address that the
// library gave it at its start, and the list of robust locks.
result<cloned> clone_as_sibling() noexcept;

// Where the C library has the id of the calling thread, a word in the thread's descriptor. The thread has to
// be the only one of its process. Null where that word is not found.
int* find_cached_thread_id() noexcept;

// How many threads this process has; 0 where /proc is not mounted.
int thread_count() noexcept;

// Gives each descriptor the number that `targets` has at its place (any_number: whatever is free) and returns
// the numbers. One with a number of its own is inherited by exec, as after an exec itself; the others are
// not.
result<std::vector<int>> place_descriptors(std::vector<unique_fd> descriptors, std::span<const int> targets);

}  // namespace triga::proc
