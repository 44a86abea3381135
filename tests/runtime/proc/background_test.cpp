// SPDX-License-Identifier: MIT
#include "runtime/proc/background.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace triga::proc {
namespace {

// In children: the policy is the process's own.
template <class Run>
int status_of_child(Run run) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(run());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

int policy() { return ::sched_getscheduler(0); }

TEST(Background, AForkOfAProcessInTheBackgroundLeavesItByItself) {
  ASSERT_EQ(policy(), SCHED_OTHER);
  const int status = status_of_child([] {
    enter_background();
    if (policy() != SCHED_BATCH) return 1;
    const int inner = status_of_child([] {
      leave_background();
      return policy() == SCHED_OTHER ? 0 : 1;
    });
    return inner == 0 && policy() == SCHED_BATCH ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST(Background, AChosenPolicyStays) {
  const int status = status_of_child([] {
    const sched_param none{};
    if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0) return 1;
    enter_background();
    if (policy() != SCHED_IDLE) return 2;
    leave_background();
    return policy() == SCHED_IDLE ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

TEST(Background, WhoWasNotInItDoesNotLeaveIt) {
  const int status = status_of_child([] {
    const sched_param none{};
    if (::sched_setscheduler(0, SCHED_BATCH, &none) != 0) return 1;
    leave_background();
    return policy() == SCHED_BATCH ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace triga::proc
