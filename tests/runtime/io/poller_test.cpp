// SPDX-License-Identifier: MIT
#include "runtime/io/poller.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace triga::io {
namespace {

struct calls final : watcher {
  void on_ready(std::uint32_t events) override {
    ++count;
    last_events = events;
    if (then) then();
  }
  int count = 0;
  std::uint32_t last_events = 0;
  std::function<void()> then;
};

// An eventfd that is readable from the start.
unique_fd ready_fd() { return unique_fd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }

constexpr time_point at_once = time_point::min();

TEST(Poller, TellsTheWatcherOfAReadyDescriptor) {
  poller events = poller::make();
  const unique_fd fd = ready_fd();
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, seen));
  EXPECT_EQ(*events.wait(at_once), 1u);
  EXPECT_EQ(events.dispatch(), 1u);
  EXPECT_EQ(seen.count, 1);
  EXPECT_EQ(seen.last_events, EPOLLIN);
}

// Waits that do not wait, until it is known without one that there is nothing; false if this kernel has no
// way to know.
bool becomes_quiet(poller& events) {
  for (int turn = 0; turn < 2000 && !events.is_quiet(); ++turn) EXPECT_EQ(*events.wait(at_once), 0u);
  return events.is_quiet();
}

TEST(Poller, KnowsThatNothingIsReadyUntilADescriptorIs) {
  poller events = poller::make();
  const unique_fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, seen));
  EXPECT_FALSE(events.is_quiet());
  if (!becomes_quiet(events)) GTEST_SKIP() << "no io_uring with deferred completions here";
  std::uint64_t number = 1;
  for (int round = 1; round <= 100; ++round) {
    ASSERT_EQ(write(fd.get(), &number, sizeof number), 8);
    ASSERT_FALSE(events.is_quiet());
    ASSERT_EQ(*events.wait(at_once), 1u);
    events.dispatch();
    ASSERT_EQ(seen.count, round);
    ASSERT_EQ(read(fd.get(), &number, sizeof number), 8);
    ASSERT_TRUE(becomes_quiet(events));
  }
}

TEST(Poller, IsNotQuietOverADescriptorAddedOrChangedWhenReady) {
  poller events = poller::make();
  if (!becomes_quiet(events)) GTEST_SKIP() << "no io_uring with deferred completions here";
  const unique_fd fd = ready_fd();
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), 0, seen));
  ASSERT_TRUE(becomes_quiet(events));
  ASSERT_TRUE(events.modify(fd.get(), EPOLLIN, seen));
  EXPECT_FALSE(events.is_quiet());
  // It stays ready, so no number of waits makes the poller believe otherwise.
  for (int turn = 0; turn < 100; ++turn) {
    ASSERT_EQ(*events.wait(at_once), 1u);
    events.dispatch();
    ASSERT_FALSE(events.is_quiet());
  }
}

TEST(Poller, IsQuietAgainInAnotherThreadAndHearsOfDescriptorsThere) {
  poller events = poller::make();
  if (!becomes_quiet(events)) GTEST_SKIP() << "no io_uring with deferred completions here";
  const unique_fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN | EPOLLET, seen));
  std::thread([&] {
    const std::uint64_t one = 1;
    for (int round = 1; round <= 5; ++round) {
      ASSERT_TRUE(becomes_quiet(events));
      ASSERT_EQ(write(fd.get(), &one, sizeof one), 8);
      ASSERT_FALSE(events.is_quiet());
      ASSERT_EQ(*events.wait(at_once), 1u);
      events.dispatch();
      ASSERT_EQ(seen.count, round);
    }
  }).join();
}

// With the thread that armed the flag the kernel's watch ends, and nobody would set the flag ever after.
TEST(Poller, IsNotQuietByTheFlagOfAThreadThatHasEnded) {
  poller events = poller::make();
  const unique_fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, seen));
  bool was_quiet = false;
  std::thread([&] { was_quiet = becomes_quiet(events); }).join();
  if (!was_quiet) GTEST_SKIP() << "no io_uring with deferred completions here";
  EXPECT_FALSE(events.is_quiet());
  EXPECT_TRUE(becomes_quiet(events));
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// A busy poller has a ring with no descriptor where the kernel can, and gives a descriptor back once it
// waits.
TEST(Poller, TakesUpNoDescriptorForBeingQuietOnceItIsBusyNoMore) {
  poller events = poller::make();
  const std::ptrdiff_t before = open_descriptors();
  if (!becomes_quiet(events)) GTEST_SKIP() << "no io_uring with deferred completions here";
  const bool hidden = open_descriptors() == before;
  for (int turn = 0; turn < 100; ++turn) ASSERT_EQ(*events.wait(monotonic_clock::now()), 0u);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(events.has_flag(), hidden);
}

TEST(Poller, AForkedChildIsNotQuietByItsParentsFlag) {
  poller events = poller::make();
  const unique_fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, seen));
  if (!becomes_quiet(events)) GTEST_SKIP() << "no io_uring with deferred completions here";
  const pid_t child = fork();
  if (child == 0) {
    const bool quiet = events.is_quiet();
    const std::uint64_t one = 1;
    const bool written = write(fd.get(), &one, sizeof one) == 8;
    _exit(!quiet && written && *events.wait(at_once) == 1u ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(events.is_quiet());
}

TEST(Poller, WaitsUntilTheDeadlineAndNotLess) {
  poller events = poller::make();
  const time_point deadline = monotonic_clock::now() + std::chrono::microseconds(300);
  EXPECT_EQ(*events.wait(deadline), 0u);
  EXPECT_GE(monotonic_clock::now(), deadline);
}

TEST(Poller, ADeadlineInThePastDoesNotWait) {
  poller events = poller::make();
  EXPECT_EQ(*events.wait(monotonic_clock::now() - std::chrono::hours(1)), 0u);
}

TEST(Poller, DoesNotCallAWatcherRemovedWhileItsEventWaitsInTheBatch) {
  poller events = poller::make();
  const unique_fd first_fd = ready_fd();
  const unique_fd second_fd = ready_fd();
  calls first;
  calls second;
  first.then = [&] { events.remove(second_fd.get()); };
  second.then = [&] { events.remove(first_fd.get()); };
  ASSERT_TRUE(events.add(first_fd.get(), EPOLLIN, first));
  ASSERT_TRUE(events.add(second_fd.get(), EPOLLIN, second));
  ASSERT_EQ(*events.wait(at_once), 2u);
  EXPECT_EQ(events.dispatch(), 1u);
  EXPECT_EQ(first.count + second.count, 1);
  EXPECT_EQ(events.size(), 1u);
}

TEST(Poller, DoesNotGiveAnOldEventToTheNewOwnerOfItsNumber) {
  poller events = poller::make();
  unique_fd fds[] = {ready_fd(), ready_fd()};
  calls old_watchers[2];
  calls newcomer;
  for (int i = 0; i < 2; ++i) {
    // Whichever is called first closes the other one's descriptor and has the number given to one that is not
    // ready.
    old_watchers[i].then = [&, i] {
      const int number = fds[1 - i].get();
      events.remove(number);
      fds[1 - i] = unique_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      ASSERT_EQ(dup2(fds[1 - i].get(), number), number);
      fds[1 - i].reset(number);
      ASSERT_TRUE(events.add(number, EPOLLIN, newcomer));
    };
    ASSERT_TRUE(events.add(fds[i].get(), EPOLLIN, old_watchers[i]));
  }
  ASSERT_EQ(*events.wait(at_once), 2u);
  EXPECT_EQ(events.dispatch(), 1u);
  EXPECT_EQ(newcomer.count, 0);
}

TEST(Poller, RefusesRegularFilesAndClosedDescriptors) {
  poller events = poller::make();
  calls seen;
  const unique_fd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(events.add(file.get(), EPOLLIN, seen).error(), EPERM);
  EXPECT_EQ(events.add(-1, EPOLLIN, seen).error(), EBADF);
  int closed = -1;
  closed = ready_fd().get();
  EXPECT_EQ(events.add(closed, EPOLLIN, seen).error(), EBADF);
  EXPECT_EQ(events.size(), 0u);
}

TEST(Poller, ModifyChangesEventsAndWatcher) {
  poller events = poller::make();
  const unique_fd fd = ready_fd();
  calls reader;
  calls writer;
  EXPECT_EQ(events.modify(fd.get(), EPOLLIN, reader).error(), ENOENT);
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, reader));
  ASSERT_TRUE(events.modify(fd.get(), EPOLLOUT, writer));
  EXPECT_EQ(events.events_of(fd.get()), EPOLLOUT);
  ASSERT_EQ(*events.wait(at_once), 1u);
  events.dispatch();
  EXPECT_EQ(reader.count, 0);
  EXPECT_EQ(writer.last_events, EPOLLOUT);
}

TEST(Poller, ModifyReachesADescriptorThatReusesAClosedOnesNumber) {
  poller events = poller::make();
  unique_fd fd(eventfd(0, EFD_CLOEXEC));
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, seen));
  const int number = fd.get();
  fd.reset();
  unique_fd fresh = ready_fd();
  if (fresh.get() != number) {
    ASSERT_EQ(dup2(fresh.get(), number), number);
    fresh.reset(number);
  }
  ASSERT_TRUE(events.modify(number, EPOLLIN, seen));
  EXPECT_EQ(*events.wait(at_once), 1u);
}

TEST(Poller, ForgetsADescriptionThatADuplicateKeepsInTheEpoll) {
  poller events = poller::make();
  unique_fd fd = ready_fd();
  const unique_fd duplicate(dup(fd.get()));
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, seen));
  const int number = fd.get();
  fd.reset();
  EXPECT_TRUE(events.remove(number));
  EXPECT_EQ(*events.wait(at_once), 1u);
  EXPECT_EQ(events.dispatch(), 0u);
  EXPECT_EQ(*events.wait(at_once), 0u);
  EXPECT_EQ(seen.count, 0);
}

TEST(Poller, KeepsTheRestOfABatchAfterStopDispatchOrAnException) {
  poller events = poller::make();
  const unique_fd fds[] = {ready_fd(), ready_fd(), ready_fd()};
  calls seen;
  for (const unique_fd& fd : fds) ASSERT_TRUE(events.add(fd.get(), EPOLLIN | EPOLLET, seen));
  ASSERT_EQ(*events.wait(at_once), 3u);
  seen.then = [&] { events.stop_dispatch(); };
  EXPECT_EQ(events.dispatch(), 1u);
  seen.then = [] { throw std::runtime_error("unwound"); };
  EXPECT_THROW(events.dispatch(), std::runtime_error);
  seen.then = nullptr;
  EXPECT_TRUE(events.has_undispatched());
  EXPECT_EQ(events.dispatch(), 1u);
  EXPECT_EQ(seen.count, 3);
}

TEST(Poller, ReportsMoreDescriptorsThanOneBatchHolds) {
  poller events = poller::make();
  std::vector<unique_fd> fds;
  std::vector<calls> seen(300);
  for (calls& each : seen) {
    fds.push_back(ready_fd());
    ASSERT_TRUE(events.add(fds.back().get(), EPOLLIN | EPOLLONESHOT, each));
  }
  while (*events.wait(at_once) > 0) events.dispatch();
  for (const calls& each : seen) EXPECT_EQ(each.count, 1);
}

// A child that changed the epoll it shares with its parent would silence the parent's watchers.
TEST(Poller, AForkedChildLeavesTheParentsEpollAlone) {
  poller events = poller::make();
  const unique_fd fd = ready_fd();
  const unique_fd other = ready_fd();
  calls seen;
  ASSERT_TRUE(events.add(fd.get(), EPOLLIN, seen));
  ASSERT_TRUE(events.add(other.get(), EPOLLIN, seen));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    events.remove(fd.get());
    const auto count = events.wait(at_once);
    _exit(count && *count == 1 && events.dispatch() == 1 && events.remove(other.get()) ? 0 : 1);
  }
  int state = -1;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_EQ(state, 0);
  EXPECT_EQ(*events.wait(at_once), 2u);
  EXPECT_EQ(events.dispatch(), 2u);
}

}  // namespace
}  // namespace triga::io
