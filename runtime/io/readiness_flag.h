// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "runtime/io/uring.h"

namespace triga::io {

// Says without a system call whether an epoll has anything to report.
//
// The problem: a loop with callbacks to run asks epoll in each turn whether a descriptor became ready too,
// and the system call costs more than the callback. So an io_uring polls the epoll's own descriptor, and the
// kernel sets a word in memory that both map when that poll has something to say.
//
// The ring is used by the one thread that made it (IORING_SETUP_SINGLE_ISSUER), as only then does the kernel
// leave completions to be asked for (DEFER_TASKRUN) and interrupt no system call of this thread with them.
// In another thread it is never quiet and arm() fails, and the owner of the flag makes a new one: the kernel
// tells nobody any more once the thread that armed it has ended. Where the kernel can (Linux 6.5) it is
// without a descriptor.
class readiness_flag {
 public:
  // Null if the kernel has no such io_uring (before 6.1, or a sandbox that forbids it) or TRIGA_IO=epoll is
  // set.
  static std::unique_ptr<readiness_flag> make();

  // Has the kernel watch `epoll` from now on, which has to be the same at each call. False if it cannot: the
  // flag is of no use any more.
  bool arm(int epoll) noexcept;
  // True if `epoll` was armed and had nothing to report since. Whatever it reported before it was armed, and
  // still does, makes it false. False says nothing more than that epoll has to be asked.
  [[nodiscard]] bool quiet() const noexcept {
    return watching_ && ring_->made_here() && !ring_->has_completions();
  }
  // Does it take up a descriptor of the process?
  [[nodiscard]] bool has_descriptor() const noexcept { return ring_->fd() >= 0; }

 private:
  explicit readiness_flag(std::unique_ptr<uring> ring) noexcept : ring_(std::move(ring)) {}

  std::unique_ptr<uring> ring_;
  bool watching_ = false;  // a poll is under way in the kernel, as far as the completions have told
};

}  // namespace triga::io
