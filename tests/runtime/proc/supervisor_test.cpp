// SPDX-License-Identifier: MIT
#include "runtime/proc/supervisor.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace {

using namespace triga;
using namespace triga::proc;

// A child that ends when the parent says so: by closing the pipe.
class child_process {
 public:
  template <class End>
  explicit child_process(End end) {
    if (::pipe(pipe_) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(pipe_[1]);
      char byte = 0;
      [[maybe_unused]] const ssize_t got = ::read(pipe_[0], &byte, 1);
      end();
      ::_exit(99);
    }
    ::close(pipe_[0]);
  }
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  ~child_process() {
    release();
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void release() {
    if (pipe_[1] >= 0) ::close(pipe_[1]);
    pipe_[1] = -1;
  }

 private:
  int pipe_[2] = {-1, -1};
  pid_t pid_ = -1;
};

supervisor::report wait_for_end(supervisor& place) {
  for (;;) {
    auto seen = place.wait(never);
    if (!seen.ended.empty()) return seen;
  }
}

TEST(Supervisor, ReportsADeathWithItsExitCodeAndLeavesTheZombie) {
  child_process child([] { ::_exit(3); });
  supervisor place;
  const unique_fd process = open_process(child.pid()).value_or_throw("pidfd_open");
  place.watch(process, 17);
  EXPECT_FALSE(has_ended(process.get()));
  EXPECT_FALSE(peek_exit(process).known);
  child.release();
  EXPECT_EQ(wait_for_end(place).ended, std::vector<std::uint64_t>{17});
  const exit_status status = peek_exit(process);
  EXPECT_TRUE(status.known);
  EXPECT_FALSE(status.signalled);
  EXPECT_EQ(status.value, 3);
  EXPECT_TRUE(has_ended(process.get()));
  EXPECT_EQ(::waitpid(child.pid(), nullptr, WNOHANG), child.pid());
}

TEST(Supervisor, ReportsTheSignalThatKilled) {
  child_process child([] { ::kill(::getpid(), SIGKILL); });
  supervisor place;
  const unique_fd process = open_process(child.pid()).value_or_throw("pidfd_open");
  place.watch(process, 1);
  child.release();
  wait_for_end(place);
  const exit_status status = peek_exit(process);
  EXPECT_TRUE(status.signalled);
  EXPECT_EQ(status.value, SIGKILL);
}

TEST(Supervisor, ForgottenProcessesAreNotReported) {
  child_process child([] { ::_exit(0); });
  supervisor place;
  const unique_fd process = open_process(child.pid()).value_or_throw("pidfd_open");
  place.watch(process, 1);
  place.forget(process);
  child.release();
  ::siginfo_t about{};
  ::waitid(P_PID, static_cast<id_t>(child.pid()), &about, WEXITED | WNOWAIT);
  EXPECT_TRUE(place.wait(deadline_after(nanoseconds(0))).timed_out);
}

TEST(Supervisor, TheBellEndsTheSleep) {
  supervisor place;
  std::thread ringer([&] { place.bell().ring(); });
  const auto seen = place.wait(never);
  ringer.join();
  EXPECT_FALSE(seen.timed_out);
  EXPECT_TRUE(seen.ended.empty());
}

TEST(Supervisor, ADeadlineInThePastTimesOut) {
  supervisor place;
  EXPECT_TRUE(place.wait(deadline_after(nanoseconds(-1))).timed_out);
}

TEST(Supervisor, AProcessThatIsGoneHasNoDescriptor) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(open_process(child));
}

}  // namespace
