// SPDX-License-Identifier: MIT
#include "runtime/loop/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <numeric>
#include <semaphore>
#include <thread>

#include "runtime/loop/signals.h"
#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"
#include "tests/runtime/loop/loop_fixture.h"

namespace triga::loop {
namespace {

struct EventLoop : loop_fixture {};

TEST_F(EventLoop, RunsForeignAndNativeWorkInOneOrder) {
  native_task second([this] { order.push_back(2); });
  loop.call_soon(note(1));
  loop.post(second);
  loop.call_soon(note(3));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(EventLoop, ABareCallbackComesWithItsArgumentAndContext) {
  int argument = 0;
  int context = 0;
  loop.call_soon({.target = note(1), .argument = &argument, .context = &context});
  int visited = 0;
  loop.visit([&](const foreign_callback& each) {
    visited += each.argument == &argument && each.context == &context;
    return 0;
  });
  EXPECT_EQ(visited, 1);
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, std::vector{1});
  EXPECT_EQ(client.last.argument, &argument);
  EXPECT_EQ(client.last.context, &context);
}

TEST_F(EventLoop, ACallbacksFormIsReplacedInItsPlaceThoughTheQueueGrew) {
  loop.call_soon(note(0));
  EXPECT_TRUE(loop.run_once(true));  // so that the place is not the item's index
  int context = 0;
  loop.call_soon(note(1));
  const std::size_t place = loop.call_soon(note(-2));
  for (int number = 3; number <= 1'000; ++number) loop.call_soon(note(number));
  loop.replace(place, {.target = note(2), .context = &context});
  EXPECT_TRUE(loop.run_once(true));
  std::vector<int> expected(1'001);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
}

TEST_F(EventLoop, WhatATurnQueuesRunsInTheNextTurn) {
  loop.call_soon(callback([this] {
    order.push_back(1);
    loop.call_soon(note(2));
  }));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, std::vector{1});
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST_F(EventLoop, KeepsTheRestOfATurnThatFails) {
  loop.call_soon(callback([this] { client.failed = true; }));
  loop.call_soon(note(2));
  EXPECT_FALSE(loop.run_once(true));
  EXPECT_TRUE(order.empty());
  client.failed = false;
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, std::vector{2});
}

TEST_F(EventLoop, TimersRunBehindWhatIsQueuedAndNeverEarly) {
  const time_point when = monotonic_clock::now() + std::chrono::milliseconds(2);
  time_point ran{};
  loop.add_timer(when, callback([&] { ran = monotonic_clock::now(); }));
  while (ran == time_point{}) ASSERT_TRUE(loop.run_once(true));
  EXPECT_GE(ran, when);
  EXPECT_EQ(client.due, 1);

  loop.add_timer(when, note(2));
  loop.call_soon(note(1));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST_F(EventLoop, TimersGoByTheClientsClockIfItHasOne) {
  client.clock = time_point(std::chrono::hours(1));
  loop.add_timer(*client.clock + std::chrono::hours(2), note(2));
  loop.add_timer(*client.clock + std::chrono::milliseconds(1), note(1));
  ASSERT_TRUE(loop.run_once(true));  // waits for what is due first, and finds a clock that stands still
  EXPECT_EQ(client.due, 0);
  *client.clock += std::chrono::milliseconds(1);
  ASSERT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1}));
  *client.clock += std::chrono::hours(2);
  ASSERT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1, 2}));
}

TEST_F(EventLoop, ForgetsCancelledTimersOnBusyTurnsToo) {
  std::vector<event_loop::timer_ticket> tickets;
  tickets.reserve(200);
  for (int i = 0; i < 200; ++i) {
    tickets.push_back(loop.add_timer(monotonic_clock::now() + std::chrono::hours(1), note(i)));
  }
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(loop.cancel_timer(tickets[i]), callbacks[i].get());
  loop.call_soon(note(-1));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(loop.timer_count(), 0u);
  EXPECT_EQ(client.dropped, 0);
}

TEST_F(EventLoop, TurnEndWorkRunsAfterTheTurnsCallbacks) {
  native_task flush([this] { order.push_back(9); });
  loop.call_soon(callback([&] { loop.post_to_turn_end(flush); }));
  loop.call_soon(note(1));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{1, 9}));
}

TEST_F(EventLoop, TurnEndWorkIsDoneThoughTheTurnFailed) {
  native_task flush([this] { order.push_back(9); });
  loop.call_soon(callback([&] {
    loop.post_to_turn_end(flush);
    client.failed = true;
  }));
  loop.call_soon(note(1));
  EXPECT_FALSE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{9}));
}

TEST_F(EventLoop, TurnEndWorkDoesNotPileUp) {
  int most = 0;
  int piled = 0;
  native_task counting([&] { piled = 0; });
  for (int i = 0; i < 100; ++i) {
    loop.call_soon(callback([&] {
      loop.post_to_turn_end(counting);
      most = std::max(most, ++piled);
    }));
  }
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(piled, 0);
  EXPECT_LE(most, 64);
}

TEST_F(EventLoop, TurnEndWorkDoesNotWaitForAllOfALongTurn) {
  native_task flush([this] { order.push_back(9); });
  loop.call_soon(callback([&] { loop.post_to_turn_end(flush); }));
  loop.call_soon(callback([] {
    const time_point end = monotonic_clock::now() + std::chrono::milliseconds(2);
    while (monotonic_clock::now() < end) {
    }
  }));
  loop.call_soon(note(1));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{9, 1}));
}

TEST_F(EventLoop, ForgottenTurnEndWorkIsNotDone) {
  native_task first([this] { order.push_back(1); });
  native_task second([&] {
    order.push_back(2);
    loop.forget(first);
  });
  loop.call_soon(callback([&] {
    loop.post_to_turn_end(second);
    loop.post_to_turn_end(first);
  }));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, (std::vector{2}));
}

TEST_F(EventLoop, KnowsWhetherWhatRunsIsAllOfTheTurn) {
  std::vector<bool> alone;
  const auto look = [&] { alone.push_back(loop.is_all_of_the_turn()); };
  loop.call_soon(callback([&] {
    look();
    loop.call_soon(callback(look));  // not in this turn
    loop.call_soon(callback(look));
  }));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(alone, (std::vector{true, false, false}));
}

TEST_F(EventLoop, IsBusyWhileSeveralCallbacksAreLeftInTheTurn) {
  std::vector<bool> busy;
  for (int i = 0; i < 6; ++i) {
    loop.call_soon(callback([&] {
      busy.push_back(loop.is_busy());
      loop.call_soon(note(1));  // not in this turn
    }));
  }
  EXPECT_FALSE(loop.is_busy());
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(busy, (std::vector{true, true, false, false, false, false}));
  EXPECT_FALSE(loop.is_busy());
}

TEST_F(EventLoop, IsBusyWhileSomebodyWaitsForTheTurnsEnd) {
  std::vector<bool> busy;
  native_task ended([] {});
  loop.call_soon(callback([&] {
    busy.push_back(loop.is_busy());
    loop.post_to_turn_end(ended);
    busy.push_back(loop.is_busy());
  }));
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(busy, (std::vector{false, true}));
  EXPECT_FALSE(loop.is_busy());
}

// The other thread posts exactly when the loop is about to enter the kernel.
TEST_F(EventLoop, APostFromAnotherThreadEndsAWaitThatJustBegan) {
  std::binary_semaphore about_to_block(0);
  std::binary_semaphore posted(0);
  native_task arrived([this] { order.push_back(1); });
  std::thread other([&] {
    about_to_block.acquire();
    loop.post_from_any_thread(arrived);
    posted.release();
  });
  client.blocking = [&] {
    about_to_block.release();
    posted.acquire();
    client.blocking = nullptr;
  };
  EXPECT_TRUE(loop.run_once(true));  // would wait for ever
  other.join();
  while (order.empty()) ASSERT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, std::vector{1});
}

TEST_F(EventLoop, LosesNoneOfManyPostsFromManyThreads) {
  constexpr int threads = 4;
  constexpr int posts = 5000;
  int ran = 0;
  native_task counting([&] { ++ran; });
  std::vector<std::thread> others;
  others.reserve(threads);
  for (int i = 0; i < threads; ++i) {
    others.emplace_back([&] {
      for (int j = 0; j < posts; ++j) loop.post_from_any_thread(counting);
    });
  }
  while (ran < threads * posts) ASSERT_TRUE(loop.run_once(true));
  for (std::thread& each : others) each.join();
  EXPECT_EQ(ran, threads * posts);
}

// Both ways that a delivery can meet the loop: looking out for it, and asleep in the kernel.
TEST_F(EventLoop, LosesNoDeliveryThatItLooksOutFor) {
  constexpr int rounds = 3000;
  std::atomic<int> asked{0};
  std::atomic<bool> over{false};
  int came = 0;
  native_task delivery([&] { ++came; });
  std::thread other([&] {
    for (int done = 0; done < rounds;) {
      if (asked.load() == done) continue;
      if (done % 100 == 99) std::this_thread::sleep_for(2 * sync::longest_spin);
      ++done;
      loop.post_from_any_thread(delivery);
    }
    over = true;
  });
  for (int round = 1; round <= rounds; ++round) {
    loop.expect_delivery();
    asked = round;
    while (came < round) ASSERT_TRUE(loop.run_once(true));
    loop.delivery_came();
  }
  other.join();
  EXPECT_TRUE(over);
  EXPECT_EQ(came, rounds);
}

// While it looks out for one thing, another must not wait behind that.
TEST_F(EventLoop, ADescriptorThatBecomesReadyEndsTheLookOut) {
  struct reader final : io::watcher {
    void on_ready(std::uint32_t) override { ++count; }
    int count = 0;
  } seen;
  const unique_fd fd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  ASSERT_TRUE(loop.poller().add(fd.get(), EPOLLIN, seen));
  loop.expect_delivery();
  while (seen.count == 0) ASSERT_TRUE(loop.run_once(true));
  loop.delivery_came();
  EXPECT_EQ(seen.count, 1);
}

// A server has something under way all the time, as its wait for standard input in a thread: descriptors came
// during the look-out, which so counted as paid, and it looked out for ever instead of sleeping.
TEST_F(EventLoop, DoesNotLookOutForWhatHasBeenUnderWayForLong) {
  loop.expect_delivery();
  const time_point old = monotonic_clock::now() + 2 * sync::longest_spin;
  while (monotonic_clock::now() < old) {
  }
  const auto spins = [] { return trace::snapshot()[static_cast<std::size_t>(trace::counter::spins)]; };
  const std::uint64_t before = spins();
  for (int i = 0; i < 300; ++i) {  // more waits than a spin that did not pay is left out for
    loop.add_timer(monotonic_clock::now() + std::chrono::milliseconds(1), note(1));
    ASSERT_TRUE(loop.run_once(true));
  }
  loop.delivery_came();
  EXPECT_EQ(spins(), before);
}

TEST_F(EventLoop, AWakeWithoutWorkEndsTheWait) {
  std::binary_semaphore about_to_block(0);
  std::thread other([&] {
    about_to_block.acquire();
    loop.wake();
  });
  client.blocking = [&] { about_to_block.release(); };
  EXPECT_TRUE(loop.run_once(true));
  other.join();
}

TEST_F(EventLoop, ASignalThatInterruptsTheWaitReachesTheClient) {
  struct sigaction ignore{};
  ignore.sa_handler = [](int) {};  // no SA_RESTART, and epoll_wait never restarts
  struct sigaction before{};
  sigaction(SIGUSR1, &ignore, &before);
  const pthread_t self = pthread_self();
  std::atomic<bool> interrupted{false};
  std::thread other([&] {
    while (!interrupted.load()) pthread_kill(self, SIGUSR1);  // until one falls into the wait
  });
  while (client.interrupts == 0) ASSERT_TRUE(loop.run_once(true));
  interrupted = true;
  other.join();
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(EventLoop, WatchersOfReadyDescriptorsRunInTheTurn) {
  struct reader final : io::watcher {
    void on_ready(std::uint32_t) override {
      loop->poller().remove(fd);
      loop->call_soon(then);
    }
    event_loop* loop = nullptr;
    int fd = -1;
    void* then = nullptr;
  } seen;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const unique_fd reading(ends[0]);
  const unique_fd writing(ends[1]);
  seen.loop = &loop;
  seen.fd = ends[0];
  seen.then = note(1);
  ASSERT_TRUE(loop.poller().add(ends[0], EPOLLIN, seen));
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(order, std::vector{1});
}

TEST_F(EventLoop, ClearGivesTheQueueAndTheTimersBack) {
  loop.call_soon(note(1));
  loop.add_timer(never, note(2));
  int visited = 0;
  loop.visit([&](const foreign_callback&) {
    ++visited;
    return 0;
  });
  EXPECT_EQ(visited, 2);
  loop.clear();
  EXPECT_EQ(client.dropped, 2);
  EXPECT_EQ(loop.ready_count() + loop.timer_count(), 0u);
}

TEST_F(EventLoop, CloseGivesTheDescriptorsBackAndMayBeCalledTwice) {
  loop.call_soon(note(1));
  loop.close();
  loop.close();
  EXPECT_EQ(client.dropped, 1);
  EXPECT_EQ(loop.poller().fd(), -1);
  loop.wake();
  EXPECT_FALSE(loop.run_once(true));
  EXPECT_EQ(loop.last_error(), EBADF);
}

// The child's wake must not end the parent's wait, and the child must be able to run the loop.
TEST_F(EventLoop, AForkedChildRunsTheLoopOnDescriptorsOfItsOwn) {
  native_task arrived([this] { order.push_back(1); });
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    loop.call_soon(note(1));
    if (!loop.run_once(true)) _exit(1);
    client.blocking = [&] { loop.wake(); };
    _exit(loop.run_once(true) ? 0 : 2);
  }
  int state = -1;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_EQ(state, 0);
  EXPECT_EQ(*loop.poller().wait(time_point::min()), 0u);
}

struct heard_signals final : signal_listener {
  void on_signal(int number) override { numbers.push_back(number); }
  std::vector<int> numbers;
};

TEST_F(EventLoop, ASignalSourceTellsEachByteThatIsNotZero) {
  heard_signals heard;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const unique_fd reading(ends[0]);
  const unique_fd writing(ends[1]);
  signal_source source(loop.poller(), heard);
  ASSERT_TRUE(source.attach(ends[0]));
  const unsigned char bytes[] = {SIGTERM, 0, SIGUSR1, SIGTERM};
  ASSERT_EQ(write(ends[1], bytes, sizeof bytes), 4);
  EXPECT_TRUE(loop.run_once(true));
  EXPECT_EQ(heard.numbers, (std::vector{SIGTERM, SIGUSR1, SIGTERM}));
  source.detach();
  source.detach();
  EXPECT_FALSE(loop.poller().watches(ends[0]));
}

}  // namespace
}  // namespace triga::loop
