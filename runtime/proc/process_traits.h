// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>

#include <cstdint>
#include <string>

#include "runtime/base/result.h"

namespace triga::proc {

// What a program started by exec would inherit from the thread that starts it, and what a clone of the zygote
// has to be given instead. Plain data: it is sent as it is between two processes of one build.
struct inherited_traits {
  std::uint64_t blocked_signals;  // bit n - 1 stands for signal n
  std::uint64_t ignored_signals;
  cpu_set_t processors;
  std::int32_t process_group;
  std::int32_t niceness;
  std::uint32_t file_mode_mask;
  std::uint32_t reserved;  // zero
};

struct process_traits {
  inherited_traits inherited;
  // What exec would inherit too but a clone cannot be given afterwards: credentials, capabilities, session,
  // limits, scheduling policy, secure-computing mode, root and namespaces, as bytes to compare. A zygote
  // whose bytes differ from its parent's has to be replaced.
  std::string fixed;
};

// Those of the calling thread. Fails only where /proc is not mounted.
result<process_traits> current_traits();

// Gives the calling process these traits, except for ignored signals, which are left to the interpreter. What
// the kernel refuses (a process group of another session, a niceness that needs a privilege) stays as it was.
void assume_traits(const inherited_traits& traits) noexcept;

}  // namespace triga::proc
