// SPDX-License-Identifier: MIT
#pragma once

#include <linux/io_uring.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/base/unique_fd.h"

namespace triga::io {

// Says without a system call whether an epoll has anything to report.
//
// The problem: a loop with callbacks to run asks epoll in each turn whether a descriptor became ready too,
// and the system call costs more than the callback. So an io_uring polls the epoll's own descriptor, and the
// kernel sets a word in memory that both map when that poll has something to say.
//
// The ring is used by the one thread that made it (IORING_SETUP_SINGLE_ISSUER), as only then does the kernel
// leave completions to be asked for (DEFER_TASKRUN) and interrupt no system call of this thread with them.
// From another thread arm() fails, and the owner of the flag makes a new one.
class readiness_flag {
 public:
  // Null if the kernel has no such io_uring (before 6.1, or a sandbox that forbids it) or TRIGA_IO=epoll is
  // set.
  static std::unique_ptr<readiness_flag> make();

  readiness_flag(const readiness_flag&) = delete;
  readiness_flag& operator=(const readiness_flag&) = delete;
  readiness_flag(readiness_flag&&) = delete;
  readiness_flag& operator=(readiness_flag&&) = delete;
  ~readiness_flag();

  // Has the kernel watch `epoll` from now on, which has to be the same at each call. False if it cannot: the
  // flag is of no use any more.
  bool arm(int epoll) noexcept;
  // True if `epoll` was armed and had nothing to report since. Whatever it reported before it was armed, and
  // still does, makes it false. False says nothing more than that epoll has to be asked.
  [[nodiscard]] bool quiet() const noexcept;

 private:
  readiness_flag() = default;

  bool map(const io_uring_params& given) noexcept;
  [[nodiscard]] unsigned& word(std::uint32_t offset) const noexcept {
    return *reinterpret_cast<unsigned*>(static_cast<char*>(rings_) + offset);
  }
  bool enter(unsigned submit) noexcept;
  void reap() noexcept;

  unique_fd ring_;
  void* rings_ = nullptr;  // the mapping of both queues
  std::size_t rings_size_ = 0;
  io_uring_sqe* entries_ = nullptr;  // the mapping of the submission entries
  std::size_t entries_size_ = 0;
  io_sqring_offsets submission_{};
  io_cqring_offsets completion_{};
  bool watching_ = false;  // a poll is under way in the kernel, as far as reap() has heard
};

}  // namespace triga::io
