// SPDX-License-Identifier: MIT
#include "runtime/io/readiness_flag.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace triga::io {
namespace {

// Linux 6.0 and 6.1; named here too, as the headers may be older than the kernel.
constexpr unsigned taskrun_flag = 1U << 9;
constexpr unsigned single_issuer = 1U << 12;
constexpr unsigned defer_taskrun = 1U << 13;
constexpr unsigned has_completions = 1U << 1 | 1U << 2;  // IORING_SQ_CQ_OVERFLOW, IORING_SQ_TASKRUN

unsigned load(unsigned& word) noexcept {
  // Acquire: what the kernel wrote before it set the word is seen.
  return std::atomic_ref<unsigned>(word).load(std::memory_order_acquire);
}

void store(unsigned& word, unsigned value) noexcept {
  // Release: the kernel sees the entry that was filled before.
  std::atomic_ref<unsigned>(word).store(value, std::memory_order_release);
}

bool wanted() noexcept {
  static const bool answer = [] {
    const char* choice = std::getenv("TRIGA_IO");
    return choice == nullptr || std::string_view(choice) != "epoll";
  }();
  return answer;
}

void* map_shared(int ring, std::size_t size, off_t offset) noexcept {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
  return memory != MAP_FAILED ? memory : nullptr;
}

}  // namespace

std::unique_ptr<readiness_flag> readiness_flag::make() {
  static std::atomic<bool> refused{
      false};  // relaxed: a cached answer of the kernel, the same for every thread
  if (!wanted() || refused.load(std::memory_order_relaxed)) return nullptr;
  io_uring_params given{};
  given.flags = taskrun_flag | single_issuer | defer_taskrun;
  unique_fd ring(static_cast<int>(syscall(SYS_io_uring_setup, 2, &given)));  // close-on-exec always
  if (!ring) {
    // Anything but a shortage of the moment will be refused the next time, too.
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM) refused.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  std::unique_ptr<readiness_flag> flag(new readiness_flag);
  flag->ring_ = std::move(ring);
  return flag->map(given) ? std::move(flag) : nullptr;
}

bool readiness_flag::map(const io_uring_params& given) noexcept {
  if ((given.features & IORING_FEAT_SINGLE_MMAP) == 0) return false;
  submission_ = given.sq_off;
  completion_ = given.cq_off;
  rings_size_ = std::max(given.sq_off.array + given.sq_entries * sizeof(unsigned),
                         given.cq_off.cqes + given.cq_entries * sizeof(io_uring_cqe));
  rings_ = map_shared(ring_.get(), rings_size_, IORING_OFF_SQ_RING);
  entries_size_ = given.sq_entries * sizeof(io_uring_sqe);
  entries_ = static_cast<io_uring_sqe*>(map_shared(ring_.get(), entries_size_, IORING_OFF_SQES));
  return rings_ != nullptr && entries_ != nullptr;
}

readiness_flag::~readiness_flag() {
  if (rings_ != nullptr) munmap(rings_, rings_size_);
  if (entries_ != nullptr) munmap(entries_, entries_size_);
}

bool readiness_flag::enter(unsigned submit) noexcept {
  return syscall(SYS_io_uring_enter, ring_.get(), submit, 0, IORING_ENTER_GETEVENTS, nullptr, 0) ==
         static_cast<long>(submit);
}

void readiness_flag::reap() noexcept {
  const unsigned tail = load(word(completion_.tail));
  if (word(completion_.head) == tail) return;
  store(word(completion_.head), tail);
  watching_ = false;
}

bool readiness_flag::arm(int epoll) noexcept {
  // The poll that was armed before may have been woken for nothing and go on.
  if (watching_) {
    if (!enter(0)) return false;
    reap();
    if (watching_) return true;
  }
  const unsigned tail = word(submission_.tail);  // written by this thread only
  const unsigned at = tail & word(submission_.ring_mask);
  std::memset(&entries_[at], 0, sizeof(io_uring_sqe));
  entries_[at].opcode = IORING_OP_POLL_ADD;
  entries_[at].fd = epoll;
  entries_[at].poll32_events = POLLIN;
  (&word(submission_.array))[at] = at;
  store(word(submission_.tail), tail + 1);
  watching_ = true;
  return enter(1);
}

bool readiness_flag::quiet() const noexcept {
  return watching_ && (load(word(submission_.flags)) & has_completions) == 0 &&
         load(word(completion_.tail)) == word(completion_.head);
}

}  // namespace triga::io
