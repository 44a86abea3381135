// SPDX-License-Identifier: MIT
#include "runtime/proc/process_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <string>

#include "runtime/trace/counters.h"
#include "tests/runtime/proc/pool_of_forks.h"

namespace {

using namespace triga;
using namespace triga::proc;
using pool_testing::bytes_of;
using pool_testing::text_of;
using PoolOfForks = pool_testing::PoolOfForks;

TEST_F(PoolOfForks, AnswersEveryTaskUnderItsIndex) {
  start_worker();
  start_worker();
  const auto all = make_batch(500);
  for (std::uint64_t i = 0; i < 500; ++i) submit(all, i, "echo " + std::to_string(i));
  wait_complete(all);
  for (std::uint64_t i = 0; i < 500; ++i) EXPECT_EQ(answer(*all, i), "echo " + std::to_string(i));
  EXPECT_EQ(pool_.outstanding(), 0U);
}

TEST_F(PoolOfForks, CarriesPayloadsThatFitNoRing) {
  start_worker();
  const auto all = make_batch(3);
  const std::string large(3 << 20, 'x');
  submit(all, 0, large);
  submit(all, 1, "echo small");
  const std::string other(100'000, 'y');
  submit(all, 2, other);
  wait_complete(all);
  EXPECT_EQ(answer(*all, 0), large);
  EXPECT_EQ(answer(*all, 1), "echo small");
  EXPECT_EQ(answer(*all, 2), other);
}

TEST_F(PoolOfForks, BuffersArriveApartFromTheBody) {
  start_worker();
  const std::string payload(200'000, 'z');
  auto end = answer_with_buffer("buffers", payload);
  ASSERT_TRUE(end && end->answer.buffers.size() == 1);
  const auto mapped = end->answer.buffers[0].map().value_or_throw("map");
  EXPECT_EQ(text_of(mapped.bytes()), payload);
}

// The block that brought a payload goes back with it: nothing is copied, and the place comes free when the
// receiver of the answer drops it, as if the worker had done so.
TEST_F(PoolOfForks, APayloadThatIsPassedBackStaysWhereItIs) {
  start_worker();
  const auto returned = [] {
    return trace::snapshot()[static_cast<std::size_t>(trace::counter::payloads_returned)];
  };
  const std::uint64_t before = returned();
  for (std::uint64_t round = 0; round < 6; ++round) {
    const std::string payload(200'000 + 1000 * round, static_cast<char>('a' + round));
    auto end = answer_with_buffer("back", payload);
    ASSERT_TRUE(end && end->answer.buffers.size() == 1);
    std::string got(end->answer.buffers[0].size(), ' ');
    ASSERT_EQ(end->answer.buffers[0].read(std::as_writable_bytes(std::span(got))), 0);
    EXPECT_EQ(got, payload);
  }
  EXPECT_EQ(returned(), before + 6);
}

TEST_F(PoolOfForks, ADeathFailsTheTaskThatRanAndNoOther) {
  start_worker();
  const auto all = make_batch(4);
  submit(all, 0, "echo a");
  submit(all, 1, "kill");
  submit(all, 2, "echo b");
  submit(all, 3, "echo c");
  wait_complete(all);
  EXPECT_EQ(answer(*all, 0), "echo a");
  EXPECT_EQ(answer(*all, 1), "was killed by signal 9 (SIGKILL)");
  EXPECT_EQ(answer(*all, 2), "echo b");
  EXPECT_EQ(answer(*all, 3), "echo c");
  EXPECT_EQ(replaced_, 1);
}

TEST_F(PoolOfForks, AnExitCodeIsReported) {
  start_worker();
  const auto all = make_batch(1);
  submit(all, 0, "exit");
  wait_complete(all);
  auto end = all->take(0);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->what, outcome::kind::lost);
  EXPECT_EQ(end->worker.pid, pids_[0]);
  EXPECT_NE(describe(end->worker).find("exited with code 3"), std::string::npos);
}

TEST_F(PoolOfForks, AnIdleWorkerTakesWhatABusyOneHasNotBegun) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  start_worker();
  const auto held = make_batch(1);
  const auto all = make_batch(5);
  submit(held, 0, "hold " + std::to_string(pipe_ends[0]));
  for (std::uint64_t i = 0; i < 5; ++i) submit(all, i, "echo");
  start_worker();  // all five lie behind the one that waits for the pipe
  wait_complete(all);
  EXPECT_FALSE(held->complete());
  ASSERT_EQ(::write(pipe_ends[1], "x", 1), 1);
  wait_complete(held);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST_F(PoolOfForks, ATaskCanBeCancelledUntilAWorkerTakesIt) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  start_worker();
  const auto all = make_batch(2);
  submit(all, 0, "hold " + std::to_string(pipe_ends[0]));
  submit(all, 1, "echo");
  while (!pool_.is_running(*all, 0)) ::sched_yield();
  EXPECT_FALSE(pool_.cancel(*all, 0));
  EXPECT_TRUE(pool_.cancel(*all, 1));
  EXPECT_FALSE(pool_.cancel(*all, 1));
  ASSERT_EQ(::write(pipe_ends[1], "x", 1), 1);
  wait_complete(all);
  EXPECT_EQ(answer(*all, 1), "not answered");
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST_F(PoolOfForks, AWorkerGetsNoMoreTasksThanItsQuota) {
  start_worker(2);
  const auto all = make_batch(3);
  for (std::uint64_t i = 0; i < 3; ++i) submit(all, i, "echo");
  wait([&] { return all->arrived() == 2; });
  EXPECT_FALSE(all->complete());
  start_worker(1);
  wait_complete(all);
}

TEST_F(PoolOfForks, WorkersExitWhenAllIsDone) {
  start_worker();
  const auto all = make_batch(10);
  for (std::uint64_t i = 0; i < 10; ++i) submit(all, i, "echo");
  pool_.finish();
  wait_complete(all);
  int status = 0;
  ASSERT_EQ(::waitpid(pids_[0], &status, 0), pids_[0]);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(PoolOfForks, AWaitEndsAtItsDeadline) {
  start_worker();
  const auto all = make_batch(1);
  EXPECT_EQ(pool_.wait([&] { return all->complete(); }, deadline_after(nanoseconds(1000)), true),
            process_pool::ended::timed_out);
}

TEST_F(PoolOfForks, AbandonedTasksAreCancelled) {
  const auto all = make_batch(2);
  submit(all, 0, "echo");
  submit(all, 1, "echo");
  pool_.abandon_tasks();
  EXPECT_TRUE(all->complete());
  EXPECT_EQ(answer(*all, 0), "not answered");
}

TEST_F(PoolOfForks, StormOfDeathsLosesNoTask) {
  constexpr unsigned seed = 99;
  std::mt19937 random(seed);
  for (int i = 0; i < 3; ++i) start_worker();
  constexpr std::uint64_t count = 2000;
  const auto all = make_batch(count);
  std::vector<bool> deadly(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    deadly[i] = random() % 50 == 0;
    submit(all, i,
           deadly[i] ? (random() % 2 != 0 ? "kill" : "exit") : "echo " + std::string(random() % 3000, 'e'));
  }
  wait_complete(all);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto end = all->take(i);
    ASSERT_TRUE(end) << "seed " << seed << " task " << i;
    EXPECT_EQ(end->what, deadly[i] ? outcome::kind::lost : outcome::kind::answered)
        << "seed " << seed << " task " << i;
  }
  EXPECT_EQ(pool_.outstanding(), 0U);
}

TEST(Message, NonsenseIsNoMessage) {
  const auto home = std::make_shared<const shm::segment>(create_channel({1 << 12}).value_or_throw("channel"));
  constexpr unsigned seed = 7;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> raw(random() % 96);
    for (auto& byte : raw) byte = static_cast<std::byte>(random() % 4 == 0 ? random() & 0xFF : 0);
    auto parsed = message::parse(raw, home, {task_slab_begin, task_slab_end, 0, nullptr, nullptr});
    // Whatever it says, it refers to nothing outside the segment: nothing is present there, so there are no
    // blocks.
    if (parsed) {
      EXPECT_TRUE(parsed->buffers.empty());
      EXPECT_LE((*parsed->body()).size(), raw.size());
    }
  }
}

TEST(Channel, OnlyAChannelIsOpened) {
  const auto other = shm::segment::create("no channel", 1 << 20).value_or_throw("segment");
  EXPECT_FALSE(open_channel(other));
  const auto home = create_channel({1 << 12}).value_or_throw("channel");
  EXPECT_TRUE(open_channel(home));
}

}  // namespace
