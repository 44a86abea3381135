// SPDX-License-Identifier: MIT
// Who is rung for: interleavings of a leading thread, the collecting one and a worker, forced.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "runtime/proc/batch.h"
#include "runtime/proc/parked.h"
#include "runtime/proc/process_pool.h"
#include "runtime/proc/worker_link.h"

namespace {

using namespace triga;
using namespace triga::proc;

// A worker of which the test takes each step itself: its process does nothing, its end of the channel is
// here.
class hand_made_worker {
 public:
  explicit hand_made_worker(process_pool& pool) : process_(::fork()) {
    if (process_ == 0) {
      ::pause();
      ::_exit(0);
    }
    const auto made = pool.prepare_worker(1 << 20);
    const auto again = [](int descriptor) { return ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0); };
    // The channel once more, to look at its parked word.
    seen_ = std::make_unique<shm::segment>(
        shm::segment::adopt(unique_fd(again(made.descriptors.memory))).value_or_throw("memory"));
    memory_ = open_channel(*seen_).value_or_throw("channel");
    results_ = shm::ring_writer(memory_.result_ring(), memory_.capacity);
    link_.emplace(
        link_descriptors{.memory = again(made.descriptors.memory),
                         .bell = again(made.descriptors.bell),
                         .leader = again(made.descriptors.leader),
                         .collector = again(made.descriptors.collector),
                         .parent = open_process(::getpid()).value_or_throw("pidfd_open").release()});
    pool.worker_started(made.id, process_);
  }
  hand_made_worker(const hand_made_worker&) = delete;
  hand_made_worker& operator=(const hand_made_worker&) = delete;
  hand_made_worker(hand_made_worker&&) = delete;
  hand_made_worker& operator=(hand_made_worker&&) = delete;
  ~hand_made_worker() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  void answer_one() {
    message task;
    int error = 0;
    ASSERT_EQ(link_->receive(task), worker_link::received::task);
    ASSERT_EQ(link_->send({}, task.sequence, value_tag, error), worker_link::sent::done);
  }
  // Whom this worker would ring now; 0: nobody.
  [[nodiscard]] std::uint32_t rings_for() const { return parked::who(results_.parked_reader()); }

 private:
  pid_t process_;
  std::unique_ptr<shm::segment> seen_;
  channel_memory memory_;
  shm::ring_writer results_;
  std::optional<worker_link> link_;
};

bool is_asleep(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t after_name = text.rfind(") ");
  return after_name != std::string::npos && text[after_name + 2] == 'S';
}

// The collecting thread looks out for results without the lock. A thread that comes to lead meanwhile, finds
// nothing and falls asleep has said that it is the one to be rung for. The collecting thread, done looking,
// used to say the same of itself: workers rang for it, and it leaves results to the leader, who slept for
// ever.
TEST(PoolWaiting, ACollectorThatLookedOutDoesNotParkOverALeaderThatCameMeanwhile) {
  std::atomic<pid_t> collector_id{0};
  std::atomic<bool> looks_out{false};
  std::atomic<bool> leader_sleeps{false};
  std::atomic<bool> looked{false};
  pool_options options;
  options.look_out = [&](const std::function<bool()>&) {
    if (::gettid() == collector_id.load() && !looked.load()) {
      looks_out.store(true);
      while (!leader_sleeps.load()) ::sched_yield();
      looked.store(true);
    }
    return false;
  };
  process_pool pool(options);
  hand_made_worker worker(pool);
  const auto call = std::make_shared<batch>(1, batch::order::one_by_one, 0);
  pool.submit({}, call, 0, {.tag = 1});

  std::thread collector([&] {
    collector_id.store(::gettid());
    while (pool.serve() != process_pool::ended::stopped) {
    }
  });
  while (!looks_out.load()) ::sched_yield();
  auto how = process_pool::ended::stopped;
  std::thread leader([&] {
    how = pool.wait([&] { return call->complete(); }, deadline_after(std::chrono::seconds(20)), false);
  });
  while (worker.rings_for() != parked::leader) ::sched_yield();
  leader_sleeps.store(true);
  // With the leader asleep the lock is free, so the collector sleeps only where it waits to be rung for.
  while (!looked.load() || !is_asleep(collector_id.load())) ::sched_yield();

  EXPECT_EQ(worker.rings_for(), parked::leader);
  worker.answer_one();
  leader.join();
  EXPECT_EQ(how, process_pool::ended::ready);
  pool.stop_serving();
  collector.join();
}

}  // namespace
