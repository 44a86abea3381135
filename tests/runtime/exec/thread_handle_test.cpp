// SPDX-License-Identifier: MIT
#include "runtime/exec/thread_handle.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace triga::exec {
namespace {

using phase = thread_handle::phase;

TEST(ThreadHandle, IsClaimedOnce) {
  thread_handle handle;
  EXPECT_EQ(handle.now(), phase::not_started);
  EXPECT_TRUE(handle.claim());
  EXPECT_FALSE(handle.claim());
  handle.begin(7);
  EXPECT_EQ(handle.ident(), 7U);
  EXPECT_EQ(handle.now(), phase::running);
  handle.finish();
  EXPECT_FALSE(handle.claim());
}

TEST(ThreadHandle, StaysDoneWhenTheThreadBeginsLate) {
  thread_handle handle;
  handle.claim();
  handle.finish();
  handle.begin(7);
  EXPECT_TRUE(handle.done());
}

TEST(ThreadHandle, WaitEndsAtTheDeadlineAndWhenDone) {
  thread_handle handle;
  handle.claim();
  EXPECT_EQ(handle.wait(deadline_after(std::chrono::milliseconds(1))), sync::wait_status::timed_out);
  std::thread finisher([&] { handle.finish(); });
  while (!handle.done()) handle.wait(never);
  finisher.join();
}

handle_list::entry running(std::uintptr_t ident, bool joined) {
  handle_list::entry entry;
  entry.handle = std::make_shared<thread_handle>();
  entry.handle->claim();
  entry.handle->begin(ident);
  entry.joined_at_exit = joined;
  return entry;
}

TEST(HandleList, FindsWhatHasToBeJoinedButNotTheCallerItself) {
  handle_list list;
  auto daemon = running(1, false);
  auto self = running(2, true);
  auto other = running(3, true);
  list.add(daemon);
  list.add(self);
  EXPECT_EQ(list.next_to_join(2), nullptr);
  list.add(other);
  EXPECT_EQ(list.next_to_join(2), other.handle);
  list.remove(self);
  list.remove(other);
  list.remove(other);
  EXPECT_EQ(list.next_to_join(2), nullptr);
  list.remove(daemon);
}

TEST(HandleList, InAForkedChildOnlyTheCallerIsAlive) {
  handle_list list;
  auto self = running(static_cast<std::uintptr_t>(pthread_self()), false);
  auto other = running(3, true);
  list.add(self);
  list.add(other);
  const pid_t child = fork();
  if (child == 0) {
    _exit(other.handle->done() && !self.handle->done() && list.next_to_join(2) == nullptr ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(other.handle->done());
  list.remove(other);
  list.remove(self);
}

}  // namespace
}  // namespace triga::exec
