// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>

#include "runtime/base/clock.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace triga::proc {

// The end of a child in the convention of Python's Popen.returncode: the exit status, or minus the signal.
int returncode_of(int wait_status) noexcept;

enum class wait_outcome {
  ended,        // the process is a zombie or gone: reap() will not block
  timed_out,    // the deadline passed
  interrupted,  // a signal handler ran: a Python caller has to run its signal handlers now
};

// The owner of a child of this process, by a pidfd: unlike a pid it never comes to mean another process, it
// can be waited for together with sockets, and it needs no SIGCHLD handler.
//
// Calls on one object have to be serialised by the caller, except await_end(), which only looks at the
// descriptor. Destroying the object neither waits for the process nor ends it.
class child_process {
 public:
  // `pid` must be a child of this process that nobody has waited for yet.
  static result<child_process> open(pid_t pid);
  child_process(pid_t pid, unique_fd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  // Readable once the process has ended, all of its threads. -1 after close().
  [[nodiscard]] int descriptor() const noexcept { return pidfd_.get(); }

  // Sleeps until the process ended, the deadline passed or a signal arrived.
  [[nodiscard]] wait_outcome await_end(time_point deadline) const noexcept;

  // Takes the status of a process that ended, without blocking. Empty while it runs, and for ever if somebody
  // else took the status (a waitpid(-1), or SIGCHLD ignored) on a kernel that cannot tell it afterwards
  // (before 6.15).
  std::optional<int> reap() noexcept;
  [[nodiscard]] std::optional<int> returncode() const noexcept { return returncode_; }

  // Returns 0, or the error of pidfd_send_signal(2); ESRCH once the process was reaped.
  [[nodiscard]] int send_signal(int number) const noexcept;

  // Gives the descriptor up; may be called twice.
  void close() noexcept { pidfd_.reset(); }

 private:
  pid_t pid_;
  unique_fd pidfd_;
  std::optional<int> returncode_;
};

// A descriptor for this very process, readable once it ended: what a child watches its parent by.
result<unique_fd> open_pidfd(pid_t pid) noexcept;

}  // namespace triga::proc
