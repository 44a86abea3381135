// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace triga::exec::detail {

// What a new thread inherits from its creator besides the signal mask: the kernel's name of it, the
// processors it may run on, and how it is scheduled. A cached thread serves only a creator whose traits it
// has, so that nobody can tell it from a new one.
struct thread_traits {
  std::array<char, 16> name{};
  std::array<std::uint64_t, 16> processors{};  // 1,024 CPUs; on a larger machine the rest is not compared
  std::array<std::uint32_t, 12>
      scheduling{};  // struct sched_attr, 48 bytes: policy, nice value, priority, deadlines

  static thread_traits of_this_thread() noexcept {
    thread_traits traits = without_name();
    prctl(PR_GET_NAME, traits.name.data());
    return traits;
  }

  // Of the calling thread, for a thread that parks.
  static thread_traits without_name() noexcept {
    thread_traits traits;
    syscall(SYS_sched_getaffinity, 0, sizeof traits.processors, traits.processors.data());
    syscall(SYS_sched_getattr, 0, traits.scheduling.data(), sizeof traits.scheduling, 0);
    return traits;
  }

  // Asking for the name that the calling thread has is cheaper than setting it, which the kernel tells
  // others.
  void take_name() const noexcept {
    std::array<char, 16> present{};
    prctl(PR_GET_NAME, present.data());
    if (present != name) prctl(PR_SET_NAME, name.data());
  }

  // The name is given to the thread at each start, so only the others have to be equal.
  [[nodiscard]] bool same_scheduling(const thread_traits& other) const noexcept {
    return processors == other.processors && scheduling == other.scheduling;
  }
};

}  // namespace triga::exec::detail
