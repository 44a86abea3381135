// SPDX-License-Identifier: MIT
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace triga::shm {

// An eventfd that a sleeper waits for in poll(2) or epoll(7), together with whatever else it watches: what a
// futex cannot do.
class doorbell {
 public:
  doorbell() noexcept = default;
  explicit doorbell(unique_fd descriptor) noexcept : descriptor_(std::move(descriptor)) {}

  static result<doorbell> create() {
    unique_fd descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!descriptor) return result<doorbell>::last_error();
    return doorbell(std::move(descriptor));
  }

  [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }

  // Never blocks: a counter at its limit has rung already.
  void ring() const noexcept {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t done = ::write(descriptor_.get(), &one, sizeof(one));
  }
  // Forgets the rings so far; call before looking at what they may have announced.
  void silence() const noexcept {
    std::uint64_t rings = 0;
    [[maybe_unused]] const ssize_t done = ::read(descriptor_.get(), &rings, sizeof(rings));
  }

 private:
  unique_fd descriptor_;
};

}  // namespace triga::shm
