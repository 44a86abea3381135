// SPDX-License-Identifier: MIT
#include "runtime/proc/child_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

namespace triga::proc {
namespace {

// Children here only make system calls: they are forks of a program with sanitizers in it.
child_process start(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(99);
  }
  return child_process::open(pid).value_or_throw("pidfd_open");
}

int ended_with(child_process& child) {
  while (child.await_end(never) != wait_outcome::ended) {
  }
  return child.reap().value();
}

TEST(ChildProcess, TellsTheExitStatus) {
  child_process child = start([] { _exit(7); });
  EXPECT_EQ(ended_with(child), 7);
  EXPECT_EQ(child.returncode(), 7);
  EXPECT_EQ(child.reap(), 7) << "asking again gives the same";
}

TEST(ChildProcess, TellsTheSignalAsANegativeNumber) {
  child_process child = start([] { pause(); });
  EXPECT_EQ(child.send_signal(SIGKILL), 0);
  EXPECT_EQ(ended_with(child), -SIGKILL);
  EXPECT_EQ(child.send_signal(SIGKILL), ESRCH);
}

TEST(ChildProcess, IsNotReapedWhileItRuns) {
  child_process child = start([] { pause(); });
  EXPECT_EQ(child.reap(), std::nullopt);
  EXPECT_EQ(child.await_end(monotonic_clock::now()), wait_outcome::timed_out);
  EXPECT_EQ(child.await_end(deadline_after(std::chrono::milliseconds(1))), wait_outcome::timed_out);
  ASSERT_EQ(child.send_signal(SIGTERM), 0);
  EXPECT_EQ(ended_with(child), -SIGTERM);
}

TEST(ChildProcess, StaysAZombieUntilItIsReaped) {
  child_process child = start([] { _exit(0); });
  ASSERT_EQ(child.await_end(never), wait_outcome::ended);
  EXPECT_EQ(kill(child.pid(), 0), 0) << "awaiting the end must leave the status for whoever waits for it";
  EXPECT_EQ(child.reap(), 0);
}

TEST(ChildProcess, ReapedBySomebodyElseKeepsItsStatusWhereTheKernelTellsIt) {
  child_process child = start([] { _exit(5); });
  ASSERT_EQ(child.await_end(never), wait_outcome::ended);
  ASSERT_EQ(waitpid(child.pid(), nullptr, 0), child.pid());
  const auto status = child.reap();
  EXPECT_TRUE(!status || *status == 5);
  EXPECT_EQ(child.await_end(never), wait_outcome::ended) << "a process that is gone is not waited for";
}

void on_signal(int) {}

TEST(ChildProcess, AwaitingIsInterruptedByASignalHandler) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, &before);
  child_process child = start([] { pause(); });
  const pthread_t waiter = pthread_self();
  std::atomic<bool> over{false};
  // However the two threads are scheduled, one of the signals meets the sleeping waiter.
  std::thread signaller([&] {
    while (!over.load()) {
      pthread_kill(waiter, SIGUSR1);
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(child.await_end(never), wait_outcome::interrupted);
  over = true;
  signaller.join();
  sigaction(SIGUSR1, &before, nullptr);
  ASSERT_EQ(child.send_signal(SIGKILL), 0);
  EXPECT_EQ(ended_with(child), -SIGKILL);
}

TEST(ChildProcess, CloseMayBeCalledTwice) {
  child_process child = start([] { _exit(0); });
  EXPECT_EQ(ended_with(child), 0);
  child.close();
  child.close();
  EXPECT_EQ(child.descriptor(), -1);
  EXPECT_EQ(child.reap(), 0);
}

TEST(ChildProcess, ReturncodeOfAWaitStatus) {
  EXPECT_EQ(returncode_of(3 << 8), 3);
  EXPECT_EQ(returncode_of(SIGSEGV), -SIGSEGV);
  EXPECT_EQ(returncode_of(SIGSEGV | 0x80), -SIGSEGV) << "with a core file";
}

}  // namespace
}  // namespace triga::proc
