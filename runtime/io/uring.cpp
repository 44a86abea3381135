// SPDX-License-Identifier: MIT
#include "runtime/io/uring.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace triga::io {
namespace {

// Named here too, as the headers may be older than the kernel.
constexpr unsigned setup_no_mmap = 1U << 14;
constexpr unsigned setup_registered_only = 1U << 15;
constexpr unsigned enter_registered = 1U << 4;
constexpr unsigned register_registered = 1U << 31;  // IORING_REGISTER_USE_REGISTERED_RING
constexpr unsigned unregister_rings = 21U;
constexpr unsigned has_news = 1U << 1 | 1U << 2;  // IORING_SQ_CQ_OVERFLOW, IORING_SQ_TASKRUN

// Rings in the program's own memory have to fit a page each.
constexpr std::size_t page = 4096;
constexpr unsigned most_entries_of_a_page = 32;

// Tells threads apart for ever, unlike their ids.
std::uint64_t this_thread() noexcept {
  static std::atomic<std::uint64_t> last{0};
  // Asked on every busy turn. Initial-exec: one instruction in place of a call; glibc has room for as much in
  // libraries that are loaded late.
  [[gnu::tls_model("initial-exec")]] static thread_local std::uint64_t mine = 0;
  if (mine == 0) mine = last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: a number
  return mine;
}

void* map(int ring, std::size_t size, off_t offset) noexcept {
  const int kind = ring >= 0 ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, kind, ring, offset);
  return memory != MAP_FAILED ? memory : nullptr;
}

// The last member of both structures of offsets, `resv2` in older headers and `user_addr` in newer ones.
template <class Offsets>
void set_user_address(Offsets& offsets, const void* address) noexcept {
  const auto number = reinterpret_cast<std::uint64_t>(address);
  std::memcpy(reinterpret_cast<char*>(&offsets) + sizeof offsets - sizeof number, &number, sizeof number);
}

}  // namespace

bool uring::allowed() noexcept {
  static const bool answer = [] {
    const char* choice = std::getenv("TRIGA_IO");
    return choice == nullptr || std::string_view(choice) != "epoll";
  }();
  return answer;
}

unsigned uring::acquire(unsigned& word) noexcept {
  // Acquire: what the kernel wrote before it set the word is seen.
  return std::atomic_ref<unsigned>(word).load(std::memory_order_acquire);
}

void uring::release(unsigned& word, unsigned value) noexcept {
  // Release: the kernel sees what was written before.
  std::atomic_ref<unsigned>(word).store(value, std::memory_order_release);
}

std::unique_ptr<uring> uring::make(options wanted) noexcept {
  if (!allowed()) {
    errno = EPERM;
    return nullptr;
  }
  std::unique_ptr<uring> ring(new (std::nothrow) uring);
  return ring && ring->set_up(wanted) ? std::move(ring) : nullptr;
}

bool uring::set_up(const options& wanted) noexcept {
  io_uring_params given{};
  given.flags = wanted.flags;
  if (wanted.without_descriptor) {
    if (wanted.entries > most_entries_of_a_page || !map_own_memory(given)) {
      errno = EINVAL;
      return false;
    }
    given.flags |= setup_no_mmap | setup_registered_only;
  }
  number_ = static_cast<int>(syscall(SYS_io_uring_setup, wanted.entries, &given));
  if (number_ < 0) return false;
  submission_ = given.sq_off;
  completion_ = given.cq_off;
  maker_ = this_thread();
  if (wanted.without_descriptor) return true;
  descriptor_ = unique_fd(number_);  // close-on-exec always
  return map_shared(given);
}

bool uring::map_own_memory(io_uring_params& given) noexcept {
  rings_size_ = entries_size_ = page;
  rings_ = map(-1, rings_size_, 0);
  entries_ = static_cast<io_uring_sqe*>(map(-1, entries_size_, 0));
  if (rings_ == nullptr || entries_ == nullptr) return false;
  set_user_address(given.cq_off, rings_);
  set_user_address(given.sq_off, entries_);
  return true;
}

bool uring::map_shared(const io_uring_params& given) noexcept {
  if ((given.features & IORING_FEAT_SINGLE_MMAP) == 0) {
    errno = ENOSYS;
    return false;
  }
  rings_size_ = std::max(given.sq_off.array + given.sq_entries * sizeof(unsigned),
                         given.cq_off.cqes + given.cq_entries * sizeof(io_uring_cqe));
  rings_ = map(number_, rings_size_, IORING_OFF_SQ_RING);
  entries_size_ = given.sq_entries * sizeof(io_uring_sqe);
  entries_ = static_cast<io_uring_sqe*>(map(number_, entries_size_, IORING_OFF_SQES));
  return rings_ != nullptr && entries_ != nullptr;
}

uring::~uring() {
  if (number_ >= 0 && !descriptor_ && made_here()) {
    io_uring_rsrc_update which{};
    which.offset = static_cast<unsigned>(number_);
    static_cast<void>(call_register(unregister_rings, &which, 1));
  }
  if (rings_ != nullptr) munmap(rings_, rings_size_);
  if (entries_ != nullptr) munmap(entries_, entries_size_);
}

long uring::call_register(unsigned operation, const void* argument, unsigned count) const noexcept {
  if (!descriptor_) operation |= register_registered;
  return syscall(SYS_io_uring_register, number_, operation, argument, count);
}

bool uring::register_buffers(std::span<const iovec> buffers) noexcept {
  if (!descriptor_ && !made_here()) {  // the number means another ring here, or none
    errno = EBADF;
    return false;
  }
  if (call_register(IORING_UNREGISTER_BUFFERS, nullptr, 0) < 0 && errno != ENXIO) return false;
  if (buffers.empty()) return true;
  return call_register(IORING_REGISTER_BUFFERS, buffers.data(), static_cast<unsigned>(buffers.size())) == 0;
}

bool uring::supports(std::uint8_t operation) const {
  constexpr unsigned most = 256;
  // The structure ends in an array of as many entries as are asked for.
  std::vector<std::uint64_t> room((sizeof(io_uring_probe) + most * sizeof(io_uring_probe_op)) /
                                  sizeof(std::uint64_t));
  auto* const probe = reinterpret_cast<io_uring_probe*>(room.data());
  if (call_register(IORING_REGISTER_PROBE, probe, most) < 0) return false;
  return operation <= probe->last_op && (probe->ops[operation].flags & IO_URING_OP_SUPPORTED) != 0;
}

io_uring_sqe* uring::try_entry() noexcept {
  const unsigned tail = word(submission_.tail);  // written by this side only
  if (tail - acquire(word(submission_.head)) > word(submission_.ring_mask)) return nullptr;
  const unsigned at = tail & word(submission_.ring_mask);
  std::memset(&entries_[at], 0, sizeof(io_uring_sqe));
  (&word(submission_.array))[at] = at;
  // The kernel reads no entry before submit() tells it how many there are.
  release(word(submission_.tail), tail + 1);
  ++prepared_;
  return &entries_[at];
}

bool uring::made_here() const noexcept { return maker_ == this_thread(); }

bool uring::submit(unsigned completions) noexcept {
  unsigned flags = IORING_ENTER_GETEVENTS;
  if (!descriptor_) {
    if (!made_here()) {  // the number means another ring here, or none
      errno = EBADF;
      return false;
    }
    flags |= enter_registered;
  }
  const long taken = syscall(SYS_io_uring_enter, number_, prepared_, completions, flags, nullptr, 0);
  if (taken < 0) return false;
  prepared_ -= std::min(prepared_, static_cast<unsigned>(taken));
  return prepared_ == 0;
}

bool uring::has_completions() const noexcept {
  return (acquire(word(submission_.flags)) & has_news) != 0 ||
         acquire(word(completion_.tail)) != word(completion_.head);
}

}  // namespace triga::io
