// SPDX-License-Identifier: MIT
#include "runtime/exec/thread_cache.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/sync/futex.h"
#include "runtime/trace/counters.h"
#include "tests/runtime/exec/latch.h"

namespace triga::exec {
namespace {

class function_job final : public thread_job {
 public:
  explicit function_job(std::function<void()> body) : body_(std::move(body)) {}
  void run() override { body_(); }
  void parked() noexcept override { parked_.open(); }
  void wait_until_parked() { parked_.wait(); }

 private:
  std::function<void()> body_;
  latch parked_;
};

pid_t run_and_park(thread_cache& cache, std::size_t stack_size = 0) {
  pid_t kernel_id = 0;
  function_job job([&] { kernel_id = static_cast<pid_t>(syscall(SYS_gettid)); });
  auto lease = cache.start(job, stack_size).value_or_throw("start");
  job.wait_until_parked();
  return kernel_id;
}

TEST(ThreadCache, ReusesAThreadWhoseLeaseEnded) {
  thread_cache cache;
  const auto reused = trace::snapshot()[static_cast<std::size_t>(trace::counter::threads_reused)];
  const pid_t first = run_and_park(cache);
  EXPECT_EQ(run_and_park(cache), first);
  EXPECT_EQ(trace::snapshot()[static_cast<std::size_t>(trace::counter::threads_reused)], reused + 1);
}

TEST(ThreadCache, HandsNoThreadOnWhileItsLeaseLives) {
  thread_cache cache;
  pid_t first = 0;
  function_job job([&] { first = static_cast<pid_t>(syscall(SYS_gettid)); });
  auto lease = cache.start(job).value_or_throw("start");
  job.wait_until_parked();
  EXPECT_NE(run_and_park(cache), first);
  lease.release();
  EXPECT_EQ(cache.idle(), 2U);
}

TEST(ThreadCache, KeepsStackSizesApart) {
  thread_cache cache;
  const pid_t small = run_and_park(cache, 256 * 1024);
  EXPECT_NE(run_and_park(cache), small);
  EXPECT_EQ(run_and_park(cache, 256 * 1024), small);
}

TEST(ThreadCache, ReportsAStackSizeThatTheSystemRefuses) {
  thread_cache cache;
  function_job job([] {});
  const auto outcome = cache.start(job, 16);
  EXPECT_FALSE(outcome);
  EXPECT_EQ(outcome.error(), EINVAL);
}

TEST(ThreadCache, GivesEachJobItsCreatorsSignalMaskAndName) {
  thread_cache cache;
  run_and_park(cache);
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR2);
  pthread_sigmask(SIG_SETMASK, &wanted, &before);
  char mine[16] = "";
  prctl(PR_GET_NAME, mine);
  prctl(PR_SET_NAME, "a creator");
  sigset_t seen;
  char name[16] = "";
  function_job job([&] {
    pthread_sigmask(SIG_SETMASK, nullptr, &seen);
    prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, "changed");
  });
  auto lease = cache.start(job).value_or_throw("start");
  job.wait_until_parked();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  prctl(PR_SET_NAME, mine);
  EXPECT_EQ(sigismember(&seen, SIGUSR2), 1);
  EXPECT_EQ(sigismember(&seen, SIGUSR1), 0);
  EXPECT_STREQ(name, "a creator");
}

TEST(ThreadCache, LeavesAloneAThreadThatMovedToOtherProcessors) {
  cpu_set_t mine;
  ASSERT_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
  if (CPU_COUNT(&mine) < 2) GTEST_SKIP() << "needs two processors";
  thread_cache cache;
  pid_t first = 0;
  function_job job([&] {
    first = static_cast<pid_t>(syscall(SYS_gettid));
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
      const auto which = static_cast<std::size_t>(cpu);
      if (CPU_ISSET(which, &mine)) CPU_SET(which, &one);
    }
    sched_setaffinity(0, sizeof one, &one);
  });
  {
    auto lease = cache.start(job).value_or_throw("start");
    job.wait_until_parked();
  }
  EXPECT_NE(run_and_park(cache), first);
}

TEST(ThreadCache, EndsThreadsThatWaitedTooLong) {
  thread_cache cache({.idle_time = std::chrono::milliseconds(1)});
  const pid_t first = run_and_park(cache);
  while (cache.idle() != 0) sched_yield();
  cache.end_idle_threads();
  EXPECT_EQ(syscall(SYS_tgkill, getpid(), first, 0), -1);
}

TEST(ThreadCache, KeepsNoMoreIdleThreadsThanAsked) {
  thread_cache cache({.max_idle = 1});
  latch go;
  std::vector<std::unique_ptr<function_job>> jobs;
  std::vector<thread_cache::lease> leases;
  for (int i = 0; i < 4; ++i) {
    jobs.push_back(std::make_unique<function_job>([&] { go.wait(); }));
    leases.push_back(cache.start(*jobs.back()).value_or_throw("start"));
  }
  go.open();
  for (auto& job : jobs) job->wait_until_parked();
  EXPECT_EQ(cache.idle(), 1U);
}

TEST(ThreadCache, EndingIdleThreadsLeavesNoThreadBehind) {
  thread_cache cache;
  const pid_t first = run_and_park(cache);
  cache.end_idle_threads();
  EXPECT_EQ(cache.idle(), 0U);
  EXPECT_EQ(syscall(SYS_tgkill, getpid(), first, 0), -1);
  EXPECT_NE(run_and_park(cache), 0);
}

TEST(ThreadCache, EndingIdleThreadsWaitsForThoseAboutToPark) {
  thread_cache cache;
  latch announced;
  std::atomic<pid_t> kernel_id{0};
  function_job job([&] {
    kernel_id = static_cast<pid_t>(syscall(SYS_gettid));
    thread_cache::about_to_park();
    announced.open();
    for (int i = 0; i < 100; ++i) sched_yield();
  });
  auto lease = cache.start(job).value_or_throw("start");
  announced.wait();
  cache.end_idle_threads();
  EXPECT_EQ(syscall(SYS_tgkill, getpid(), kernel_id.load(), 0), -1);
}

TEST(ThreadCache, SurvivesAJobThatLeavesByPthreadExit) {
  thread_cache cache;
  std::atomic<pid_t> kernel_id{0};
  function_job job([&] {
    thread_cache::about_to_park();
    kernel_id = static_cast<pid_t>(syscall(SYS_gettid));
    pthread_exit(nullptr);
  });
  {
    auto lease = cache.start(job).value_or_throw("start");
  }
  while (kernel_id == 0 || syscall(SYS_tgkill, getpid(), kernel_id.load(), 0) == 0) sched_yield();
  cache.end_idle_threads();
  EXPECT_EQ(cache.idle(), 0U);
}

TEST(ThreadCache, StartsThreadsFromJobs) {
  thread_cache cache;
  std::atomic<int> ran{0};
  function_job inner([&] { ++ran; });
  function_job outer([&] {
    ++ran;
    auto lease = cache.start(inner);
    EXPECT_TRUE(lease);
  });
  {
    auto lease = cache.start(outer).value_or_throw("start");
  }
  outer.wait_until_parked();
  inner.wait_until_parked();
  EXPECT_EQ(ran, 2);
}

#if !defined(__SANITIZE_THREAD__)  // ThreadSanitizer refuses threads in a child of a threaded process
TEST(ThreadCache, StartsEmptyInAForkedChild) {
  thread_cache& cache = thread_cache::process();
  run_and_park(cache);
  const pid_t child = fork();
  if (child == 0) {
    const bool empty = cache.idle() == 0;
    _exit(empty && run_and_park(cache) != 0 && cache.idle() == 1 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

#if !defined(__SANITIZE_ADDRESS__)  // the leak check at the child's exit does not see the stack of the
                                    // parent's main thread
TEST(ThreadCache, AChildForkedFromALeasedThreadEndsWithItsJob) {
  thread_cache& cache = thread_cache::process();
  pid_t child = 0;
  function_job job([&] { child = fork(); });
  auto lease = cache.start(job).value_or_throw("start");
  // In the child this thread does not exist; the job's thread is the only one, and ends with it.
  job.wait_until_parked();
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// The leased thread that forks is the child's initial thread. When it ends, the process lives as long as a
// thread does: one that waits for a job that nobody can give would keep it, and whoever waits for it, until
// its idle time is over.
TEST(ThreadCache, AChildForkedOnALeasedThreadEndsWithItsLastJob) {
  thread_cache cache({.idle_time = std::chrono::hours(1)});
  pid_t child = -1;
  function_job in_child([] {});
  function_job job([&] {
    child = fork();
    if (child != 0) return;
    static_cast<void>(cache.start(in_child).value_or_throw("start"));
    in_child.wait_until_parked();
  });
  auto lease = cache.start(job).value_or_throw("start");
  job.wait_until_parked();
  ASSERT_GT(child, 0);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
}
#endif
#endif

}  // namespace
}  // namespace triga::exec
