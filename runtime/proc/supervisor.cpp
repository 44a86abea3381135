// SPDX-License-Identifier: MIT
#include "runtime/proc/supervisor.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <system_error>

namespace triga::proc {
namespace {

constexpr std::uint64_t bell_key = std::numeric_limits<std::uint64_t>::max();

// epoll_wait(2) counts milliseconds; rounded up, so that a deadline has passed when it says so.
int milliseconds_until(time_point deadline) noexcept {
  if (deadline == never) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - monotonic_clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

void add(int epoll, int descriptor, std::uint64_t key) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

}  // namespace

result<unique_fd> open_process(pid_t pid) {
  const long descriptor = ::syscall(SYS_pidfd_open, pid, 0);
  if (descriptor < 0) return result<unique_fd>::last_error();
  return unique_fd(static_cast<int>(descriptor));
}

exit_status peek_exit(const unique_fd& process) noexcept {
  siginfo_t about{};
  constexpr idtype_t by_descriptor = static_cast<idtype_t>(3);  // P_PIDFD, which glibc 2.36 was first to name
  if (::waitid(by_descriptor, static_cast<id_t>(process.get()), &about, WEXITED | WNOHANG | WNOWAIT) != 0)
    return {};
  if (about.si_pid == 0) return {};
  return {.known = true, .signalled = about.si_code != CLD_EXITED, .value = about.si_status};
}

bool has_ended(int process) noexcept {
  pollfd watched{.fd = process, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, 0) > 0;
}

supervisor::supervisor() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  bell_ = shm::doorbell::create().value_or_throw("eventfd");
  add(epoll_.get(), bell_.descriptor(), bell_key);
}

void supervisor::watch(const unique_fd& process, std::uint64_t key) { add(epoll_.get(), process.get(), key); }

void supervisor::forget(const unique_fd& process) noexcept {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, process.get(), nullptr);
}

supervisor::report supervisor::wait(time_point deadline) {
  std::array<epoll_event, 16> events{};
  const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 milliseconds_until(deadline));
  report seen;
  seen.interrupted = ready < 0 && errno == EINTR;
  seen.timed_out = ready == 0;
  for (int i = 0; i < ready; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == bell_key) {
      bell_.silence();
    } else {
      seen.ended.push_back(event.data.u64);
    }
  }
  return seen;
}

}  // namespace triga::proc
