// SPDX-License-Identifier: MIT
#include "runtime/proc/clone.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "runtime/proc/start_request.h"

namespace triga::proc {
namespace {

struct robust_list_of_thread {
  void* head = nullptr;
  std::size_t size = 0;
};

// What the kernel clears and wakes when this thread ends. Up to glibc 2.41 it is the cache of the thread's id
// itself. Null where the kernel was built without CONFIG_CHECKPOINT_RESTORE.
int* cleared_at_exit() noexcept {
  int* address = nullptr;
  return prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) == 0 ? address : nullptr;
}

int own_thread_id() noexcept { return static_cast<int>(syscall(SYS_gettid)); }

// Whether the C library has the id of this thread in that word. A recursive mutex is its holder's, by that
// id: one that was locked under another id is taken for somebody else's. The process has one thread.
bool is_cached_id(volatile int* word, pthread_mutex_t& recursive) noexcept {
  const int own_id = *word;
  const int other_id = own_id + 1;
  *word = other_id;
  pthread_mutex_lock(&recursive);
  *word = own_id;
  const bool is_anothers = pthread_mutex_trylock(&recursive) == EBUSY;
  if (!is_anothers) pthread_mutex_unlock(&recursive);  // it was locked twice
  *word = other_id;
  pthread_mutex_unlock(&recursive);
  *word = own_id;
  return is_anothers;
}

int* cached_thread_id() noexcept {
  int* const cleared = cleared_at_exit();
  if (cleared != nullptr && *cleared == own_thread_id()) return cleared;
  static int* const found = find_cached_thread_id();
  return found;
}

// Runs the handlers of pthread_atfork, by a fork that ends at once: some libraries end their threads in them
// (OpenBLAS) and start them again when they are used.
void run_fork_handlers() noexcept {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  while (pid > 0 && waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// A thread that was joined counts for some microseconds more.
bool becomes_single_threaded() noexcept {
  constexpr timespec moment{.tv_sec = 0, .tv_nsec = 50'000};
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (thread_count() <= 1) return true;
    nanosleep(&moment, nullptr);
  }
  return false;
}

bool is_single_threaded() noexcept {
  if (thread_count() <= 1) return true;
  run_fork_handlers();
  return becomes_single_threaded();
}

// clone(2) with the argument order of the machine.
pid_t raw_clone(unsigned long flags, int* pidfd, int* thread_id) noexcept {
#if defined(__x86_64__)
  return static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, pidfd, thread_id, 0));
#else  // aarch64, arm, riscv, powerpc: the thread's storage before the child's id
  return static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, pidfd, 0, thread_id));
#endif
}

}  // namespace

int* find_cached_thread_id() noexcept {
  constexpr int words_searched = 512;
  auto* const words = reinterpret_cast<int*>(pthread_self());
  pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
  const int own_id = own_thread_id();
  for (int* word = words; word != words + words_searched; ++word) {
    if (*word == own_id && is_cached_id(word, recursive)) return word;
  }
  return nullptr;
}

int thread_count() noexcept {
  struct stat tasks{};
  // A directory of /proc has two links more than it has sub-directories, and a task each is one.
  return stat("/proc/self/task", &tasks) == 0 ? static_cast<int>(tasks.st_nlink) - 2 : 0;
}

result<cloned> clone_as_sibling() noexcept {
  if (!is_single_threaded()) return result<cloned>::failure(ENOTSUP);
  int* const thread_id = cached_thread_id();
  // Without it the clone's locks and signals to itself would go by the zygote's id.
  if (thread_id == nullptr || *thread_id != own_thread_id()) return result<cloned>::failure(ENOSYS);
  int* const cleared = cleared_at_exit();
  robust_list_of_thread robust;
  syscall(SYS_get_robust_list, 0, &robust.head, &robust.size);
  int pidfd = -1;
  const unsigned long flags = CLONE_PARENT | CLONE_PIDFD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |
                              static_cast<unsigned long>(SIGCHLD);
  const pid_t pid = raw_clone(flags, &pidfd, thread_id);
  if (pid < 0) return result<cloned>::last_error();
  if (pid == 0) {
    if (cleared != nullptr) syscall(SYS_set_tid_address, cleared);
    if (robust.head != nullptr) syscall(SYS_set_robust_list, robust.head, robust.size);
    return cloned{};
  }
  return cloned{.pid = pid, .pidfd = unique_fd(pidfd)};
}

result<std::vector<int>> place_descriptors(std::vector<unique_fd> descriptors, std::span<const int> targets) {
  using returned = result<std::vector<int>>;
  if (descriptors.size() != targets.size()) return returned::failure(EINVAL);
  const int above = targets.empty() ? 0 : *std::ranges::max_element(targets) + 1;
  // First out of the way of every target, so that placing one cannot overwrite the next.
  for (unique_fd& each : descriptors) {
    if (each.get() >= above) continue;
    each = unique_fd(fcntl(each.get(), F_DUPFD_CLOEXEC, above));
    if (!each) return returned::last_error();
  }
  std::vector<int> numbers;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] == any_number) {
      numbers.push_back(descriptors[i].release());
    } else {
      if (dup2(descriptors[i].get(), targets[i]) < 0) return returned::last_error();
      numbers.push_back(targets[i]);
    }
  }
  return numbers;
}

}  // namespace triga::proc
