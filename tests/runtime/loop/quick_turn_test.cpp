// SPDX-License-Identifier: MIT
// Turns that begin with callbacks in the queue and nothing to find: they go straight to them.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <thread>

#include "runtime/base/unique_fd.h"
#include "tests/runtime/loop/loop_fixture.h"

namespace triga::loop {
namespace {

struct QuickTurn : loop_fixture {
  int looks = 0;
  test_client::callback* again = nullptr;

  // A loop with one callback that queues itself, whose poller has its flag by now. False: the kernel has
  // none.
  bool make_busy() {
    client.blocking = [this] { ++looks; };
    again = callback([this] { loop.call_soon(again); });
    loop.call_soon(again);
    constexpr int enough = 2000;
    for (int turn = 0; turn < enough && !loop.poller().is_quiet(); ++turn) EXPECT_TRUE(loop.run_once(true));
    return loop.poller().is_quiet();
  }
  int looks_in(int turns) {
    const int before = looks;
    for (int turn = 0; turn < turns; ++turn) EXPECT_TRUE(loop.run_once(true));
    return looks - before;
  }
};

struct counting_watcher final : io::watcher {
  void on_ready(std::uint32_t) override { ++told; }
  int told = 0;
};

#define BUSY_OR_SKIP() \
  if (!make_busy()) GTEST_SKIP() << "no io_uring, or TRIGA_IO=epoll: every turn polls"

TEST_F(QuickTurn, EachSixteenthLooks) {
  BUSY_OR_SKIP();
  EXPECT_EQ(looks_in(16), 1);
  EXPECT_EQ(looks_in(160), 10);
}

TEST_F(QuickTurn, ATimerIsFoundInTheNextTurn) {
  BUSY_OR_SKIP();
  loop.call_soon(callback([this] { loop.add_timer(monotonic_clock::now(), note(1)); }));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1}));
}

TEST_F(QuickTurn, AnotherThreadsTaskIsFoundInTheNextTurn) {
  BUSY_OR_SKIP();
  native_task task([this] { order.push_back(1); });
  std::thread([&] { loop.post_from_any_thread(task); }).join();
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1}));
}

TEST_F(QuickTurn, AReadyDescriptorIsFoundInTheNextTurn) {
  const unique_fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  counting_watcher watcher;
  ASSERT_TRUE(loop.poller().add(event.get(), EPOLLIN, watcher));
  BUSY_OR_SKIP();
  EXPECT_EQ(looks_in(64), 4);
  EXPECT_EQ(watcher.told, 0);
  ASSERT_EQ(eventfd_write(event.get(), 1), 0);
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(watcher.told, 1);
  loop.poller().remove(event.get());
}

TEST_F(QuickTurn, ALoopWithNothingQueuedLooks) {
  BUSY_OR_SKIP();
  loop.clear_ready();
  const int before = looks;
  EXPECT_TRUE(loop.run_once(false));
  EXPECT_EQ(looks, before + 1);
}

TEST_F(QuickTurn, AForkedChildLooks) {
  BUSY_OR_SKIP();
  const pid_t child = fork();
  if (child == 0) {
    const int before = looks;
    const bool good = loop.run_once(true);
    _exit(good && looks == before + 1 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

#undef BUSY_OR_SKIP

}  // namespace
}  // namespace triga::loop
