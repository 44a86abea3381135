// SPDX-License-Identifier: MIT
#include "runtime/proc/aside_counts.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/proc/message_queue.h"

namespace triga::proc {
namespace {

// Counts that children share with this process.
struct shared_counts {
  void* memory =
      mmap(nullptr, sizeof(aside_counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared_counts() = default;
  shared_counts(const shared_counts&) = delete;
  shared_counts& operator=(const shared_counts&) = delete;
  ~shared_counts() { munmap(memory, sizeof(aside_counts)); }
  aside_counts& operator*() const { return *static_cast<aside_counts*>(memory); }
  aside_counts* operator->() const { return static_cast<aside_counts*>(memory); }
};

// A child that runs `work` and then stays until it is killed.
class staying_child {
 public:
  explicit staying_child(const std::function<void()>& work) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      work();
      const char done = 0;
      if (write(ends[1], &done, 1) != 1) _exit(1);
      for (;;) pause();
    }
    char done = 0;
    EXPECT_EQ(read(ends[0], &done, 1), 1);
    close(ends[0]);
    close(ends[1]);
  }
  staying_child(const staying_child&) = delete;
  staying_child& operator=(const staying_child&) = delete;
  ~staying_child() { kill_it(); }
  void kill_it() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

TEST(AsideCounts, EachProcessTakesOffItsOwn) {
  const shared_counts counts;
  counts->add();
  counts->add();
  EXPECT_FALSE(counts->has_others());
  const staying_child child([&] { counts->add(); });
  EXPECT_EQ(counts->total(), 3U);
  EXPECT_TRUE(counts->has_others());
  counts->drop(2);
  EXPECT_EQ(counts->total(), 1U);
}

TEST(AsideCounts, OnlyWhatTheGoneHaveCountedIsForgotten) {
  const shared_counts counts;
  counts->add();
  const staying_child alive([&] { counts->add(); });
  staying_child victim([&] {
    counts->add();
    counts->add();
  });
  EXPECT_EQ(counts->forget_the_gone(), 0U);
  victim.kill_it();
  EXPECT_EQ(counts->total(), 4U);
  EXPECT_EQ(counts->forget_the_gone(), 2U);
  EXPECT_EQ(counts->total(), 2U);
  const staying_child next([&] { counts->add(); });  // in the place of the one that is gone
  EXPECT_EQ(counts->total(), 3U);
  EXPECT_EQ(counts->forget_the_gone(), 0U);
}

TEST(AsideCounts, ProcessesBeyondThePlacesAreCountedToo) {
  const shared_counts counts;
  std::vector<std::unique_ptr<staying_child>> children;
  for (std::size_t i = 0; i < aside_counts::places; ++i) {
    children.push_back(std::make_unique<staying_child>([&] { counts->add(); }));
  }
  counts->add();
  EXPECT_EQ(counts->total(), aside_counts::places + 1);
  counts->drop(1);
  children.clear();
  EXPECT_EQ(counts->forget_the_gone(), aside_counts::places);
  EXPECT_EQ(counts->total(), 0U);
}

// A producer is killed with a message that found no space in the ring: its place must not be taken for ever.
TEST(AsideCounts, AWaitForRoomEndsWhenTheProcessThatTookItIsGone) {
  const auto queue = message_queue::create({.most = 1}).value_or_throw("queue");
  staying_child producer([&] { queue->set_aside(); });
  EXPECT_TRUE(queue->full());
  EXPECT_EQ(queue->await_room(monotonic_clock::now()), message_queue::status::timed_out);
  EXPECT_TRUE(queue->full());
  EXPECT_FALSE(queue->all_done());
  producer.kill_it();
  while (queue->full()) EXPECT_EQ(queue->await_room(never), message_queue::status::done);
  EXPECT_TRUE(queue->all_done());
}

}  // namespace
}  // namespace triga::proc
