// SPDX-License-Identifier: MIT
#include "runtime/proc/child_process.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "runtime/trace/counters.h"

namespace triga::proc {
namespace {

constexpr idtype_t by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, which older headers lack

// PIDFD_GET_INFO of linux/pidfd.h (6.13), with PIDFD_INFO_EXIT (6.15): a process's status after it was
// reaped.
struct pidfd_info {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t identity[11];  // pid, tgid, ppid, then eight user and group ids
  std::int32_t exit_code;
  std::uint32_t reserved[2];
};
constexpr std::uint64_t info_exit = 1U << 3;
constexpr unsigned long get_info = _IOC(_IOC_READ | _IOC_WRITE, 0xFF, 11, sizeof(pidfd_info));

std::optional<int> status_after_reaping(int pidfd) noexcept {
  pidfd_info info{};
  info.mask = info_exit;
  if (ioctl(pidfd, get_info, &info) != 0 || (info.mask & info_exit) == 0) return std::nullopt;
  return info.exit_code;
}

int returncode_of(const siginfo_t& info) noexcept {
  return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

}  // namespace

int returncode_of(int wait_status) noexcept {
  return WIFSIGNALED(wait_status) ? -WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

result<unique_fd> open_pidfd(pid_t pid) noexcept {
  unique_fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by itself
  if (!pidfd) return result<unique_fd>::last_error();
  return pidfd;
}

result<child_process> child_process::open(pid_t pid) {
  auto pidfd = open_pidfd(pid);
  if (!pidfd) return result<child_process>::failure(pidfd.error());
  return child_process(pid, *std::move(pidfd));
}

wait_outcome child_process::await_end(time_point deadline) const noexcept {
  if (returncode_ || !pidfd_) return wait_outcome::ended;
  pollfd watched{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  timespec remaining{};
  timespec* timeout = nullptr;
  if (deadline != never) {
    const nanoseconds left = deadline - monotonic_clock::now();
    remaining = to_timespec(left > nanoseconds::zero() ? left : nanoseconds::zero());
    timeout = &remaining;
  }
  const int ready = ppoll(&watched, 1, timeout, nullptr);
  if (ready > 0) return wait_outcome::ended;
  return ready == 0 ? wait_outcome::timed_out : wait_outcome::interrupted;
}

std::optional<int> child_process::reap() noexcept {
  if (returncode_ || !pidfd_) return returncode_;
  siginfo_t info{};
  int outcome = 0;
  do {
    outcome = waitid(by_pidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
  } while (outcome != 0 && errno == EINTR);
  if (outcome == 0 && info.si_pid != 0) {
    returncode_ = returncode_of(info);
  } else if (outcome != 0 && errno == ECHILD) {
    if (const auto status = status_after_reaping(pidfd_.get())) returncode_ = returncode_of(*status);
  }
  if (returncode_ && *returncode_ < 0) trace::count(trace::counter::processes_died);
  return returncode_;
}

int child_process::send_signal(int number) const noexcept {
  if (returncode_ || !pidfd_) return ESRCH;
  return syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) == 0 ? 0 : errno;
}

}  // namespace triga::proc
