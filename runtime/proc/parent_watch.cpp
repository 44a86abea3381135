// SPDX-License-Identifier: MIT
#include "runtime/proc/parent_watch.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "runtime/proc/supervisor.h"

namespace triga::proc {
namespace {

std::atomic<int> watched{-1};

// Async-signal-safe: poll(2) and kill(2).
void check_parent(int) {
  const int before = errno;
  if (has_ended(watched.load(std::memory_order_relaxed))) ::kill(::getpid(), SIGKILL);
  errno = before;
}

}  // namespace

void die_with(int process) {
  const int signal_number = SIGRTMAX - 5;
  watched.store(process, std::memory_order_relaxed);
  struct sigaction action{};
  action.sa_handler = check_parent;
  action.sa_flags = SA_RESTART;
  if (::sigaction(signal_number, &action, nullptr) != 0 || ::prctl(PR_SET_PDEATHSIG, signal_number) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot watch the parent process");
  }
  check_parent(signal_number);  // it may have ended before the request
}

}  // namespace triga::proc
