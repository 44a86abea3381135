// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/shm/doorbell.h"

namespace triga::proc {

// How a process ended.
struct exit_status {
  bool known = false;  // false for a process that is not our child: only its parent gets the status
  bool signalled = false;
  int value = 0;  // the exit code, or the signal
};

// A descriptor of a process that becomes readable when the process ends, however it ends (pidfd_open(2)).
result<unique_fd> open_process(pid_t pid);
// How a process that has ended ended, without reaping it: whoever waits for the pid still can.
exit_status peek_exit(const unique_fd& process) noexcept;
// True if the process of the descriptor has ended.
bool has_ended(int process) noexcept;

// A place to sleep until a watched process ends or the doorbell rings (epoll(7)). One thread sleeps in it at
// a time.
class supervisor {
 public:
  supervisor();

  void watch(const unique_fd& process, std::uint64_t key);
  void forget(const unique_fd& process) noexcept;
  [[nodiscard]] const shm::doorbell& bell() const noexcept { return bell_; }

  struct report {
    bool interrupted = false;  // a signal handler ran
    bool timed_out = false;
    std::vector<std::uint64_t> ended;  // keys of processes; told again each time until they are forgotten
  };
  report wait(time_point deadline);

 private:
  unique_fd epoll_;
  shm::doorbell bell_;
};

}  // namespace triga::proc
