// SPDX-License-Identifier: MIT
#include "runtime/shm/owner_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "runtime/base/unique_fd.h"
#include "runtime/sync/pause.h"

namespace triga::shm {
namespace {

using namespace std::chrono_literals;

// How long a sleeper trusts that the owner lives before it asks.
constexpr nanoseconds trust = 10ms;
constexpr unsigned short_looks = 64;
constexpr unsigned yields = 8;

constexpr pid_t pid_of(process_name who) noexcept { return static_cast<pid_t>(who & 0x7FFF'FFFF); }
constexpr std::uint32_t stamp_of(process_name who) noexcept { return static_cast<std::uint32_t>(who >> 32U); }

// When a process began, in the kernel's clock ticks since boot (proc(5), field 22 of stat), cut to 32 bits; 0
// where it cannot be read.
std::uint32_t began(pid_t pid) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/stat", static_cast<int>(pid));
  const unique_fd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!file) return 0;
  std::array<char, 1024> text{};
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size <= 0) return 0;
  std::string_view rest(text.data(), static_cast<std::size_t>(size));
  // The second field is the program's name in parentheses, and may hold anything.
  const auto name_ends = rest.rfind(')');
  if (name_ends == std::string_view::npos) return 0;
  rest.remove_prefix(name_ends + 1);
  for (int field = 3; field <= 22; ++field) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return 0;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  return static_cast<std::uint32_t>(ticks);
}

// Where this process keeps its name: memory that the kernel gives to every child as zeros, by whatever call
// the child was made. Null where it does not do that.
std::atomic<process_name>* page_of_name() noexcept {
  static void* const page = [] {
    constexpr std::size_t size = 4096;
    void* made = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED) return static_cast<void*>(nullptr);
    if (::madvise(made, size, MADV_WIPEONFORK) == 0) return made;
    ::munmap(made, size);
    return static_cast<void*>(nullptr);
  }();
  return static_cast<std::atomic<process_name>*>(page);
}

bool has_ended(pid_t pid) noexcept {
  const unique_fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // EINVAL: the number is that of a thread now, so the process is gone.
  if (!process) return errno == ESRCH || errno == EINVAL;
  pollfd watched{.fd = process.get(), .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, 0) > 0;
}

}  // namespace

process_name this_process() noexcept {
  std::atomic<process_name>* const known = page_of_name();
  // Relaxed: threads that find it unknown find out the same.
  if (known != nullptr) {
    if (const process_name name = known->load(std::memory_order_relaxed); name != 0) return name;
  }
  const pid_t pid = ::getpid();
  const process_name made = std::uint64_t{began(pid)} << 32U | static_cast<std::uint32_t>(pid);
  if (known != nullptr) known->store(made, std::memory_order_relaxed);
  return made;
}

bool is_gone(process_name who) noexcept {
  const pid_t pid = pid_of(who);
  if (pid <= 0 || has_ended(pid)) return true;
  const std::uint32_t since = began(pid);
  return since != 0 && stamp_of(who) != 0 && since != stamp_of(who);
}

owner_lock::status owner_lock::try_lock() noexcept {
  const process_name me = this_process();
  for (unsigned look = 0; look < short_looks; ++look) {
    // Relaxed: only a hint whether it is worth trying.
    if (owner_.load(std::memory_order_relaxed) == 0 && acquire(me)) return status::locked;
    sync::pause();
  }
  return status::busy;
}

bool owner_lock::inherit(process_name who) noexcept {
  // Acquire: what the dead owner wrote, as far as it came, is seen.
  std::uint64_t owner = owner_.load(std::memory_order_acquire);
  return owner != 0 && owner != who && is_gone(owner) &&
         owner_.compare_exchange_strong(owner, who, std::memory_order_seq_cst);
}

owner_lock::status owner_lock::lock() noexcept {
  if (try_lock() == status::locked) return status::locked;
  const process_name me = this_process();
  for (unsigned turn = 0; turn < yields; ++turn) {
    sched_yield();
    if (acquire(me)) return status::locked;
  }
  for (;;) {
    asleep_.store(1, std::memory_order_seq_cst);
    // Others may sleep, too: the word stays 1, so that this thread's unlock() wakes the next.
    if (acquire(me)) return status::locked;
    const auto woken = futex_wait(asleep_, 1, deadline_after(trust), sync::futex_scope::shared);
    if (woken == sync::wait_status::interrupted) return status::interrupted;
    if (woken == sync::wait_status::timed_out && inherit(me)) return status::recovered;
  }
}

void owner_lock::unlock() noexcept {
  // seq_cst, both: a sleeper says so and looks at the owner; this side frees it and looks for sleepers. One
  // of the two sees the other.
  owner_.store(0, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst) != 0 && asleep_.exchange(0, std::memory_order_seq_cst) != 0)
    sync::futex_wake(asleep_, 1, sync::futex_scope::shared);
}

}  // namespace triga::shm
