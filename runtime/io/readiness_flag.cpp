// SPDX-License-Identifier: MIT
#include "runtime/io/readiness_flag.h"

#include <poll.h>

#include <atomic>
#include <cerrno>
#include <utility>

namespace triga::io {
namespace {

// Linux 6.0 and 6.1; named here too, as the headers may be older than the kernel.
constexpr unsigned taskrun_flag = 1U << 9;
constexpr unsigned single_issuer = 1U << 12;
constexpr unsigned defer_taskrun = 1U << 13;

std::unique_ptr<uring> make_ring() noexcept {
  constexpr unsigned flags = taskrun_flag | single_issuer | defer_taskrun;
  // Also refused where the thread's table of such rings is full.
  if (auto hidden = uring::make({.entries = 2, .flags = flags, .without_descriptor = true})) return hidden;
  return uring::make({.entries = 2, .flags = flags});
}

}  // namespace

std::unique_ptr<readiness_flag> readiness_flag::make() {
  static std::atomic<bool> refused{
      false};  // relaxed: a cached answer of the kernel, the same for every thread
  if (refused.load(std::memory_order_relaxed)) return nullptr;
  std::unique_ptr<uring> ring = make_ring();
  if (ring == nullptr) {
    // Anything but a shortage of the moment will be refused the next time, too.
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM) refused.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  return std::unique_ptr<readiness_flag>(new readiness_flag(std::move(ring)));
}

bool readiness_flag::arm(int epoll) noexcept {
  const auto reap = [this] { ring_->reap([this](std::uint64_t, int) { watching_ = false; }); };
  // The poll that was armed before may have been woken for nothing and go on.
  if (watching_) {
    if (!ring_->submit()) return false;
    reap();
    if (watching_) return true;
  }
  reap();
  io_uring_sqe* const entry = ring_->try_entry();
  if (entry == nullptr) return false;
  entry->opcode = IORING_OP_POLL_ADD;
  entry->fd = epoll;
  entry->poll32_events = POLLIN;
  watching_ = true;
  return ring_->submit();
}

}  // namespace triga::io
