// SPDX-License-Identifier: MIT
#include "runtime/aio/file_queue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace triga::aio {
namespace {

struct idle_client final : loop::loop_client {
  void before_block(bool) override {}
  void after_block() override {}
  bool on_interrupt() override { return true; }
  bool run_callback(const loop::foreign_callback&) override { return true; }
  bool good() const override { return true; }
  void drop(const loop::foreign_callback&) override {}
  void on_due(void*) override {}
};

struct operation final : file_operation {
  void on_done(std::int64_t value) override {
    EXPECT_FALSE(result) << "it is done once";
    result = value;
  }
  std::optional<std::int64_t> result;
};

// One body over both ways of doing it.
class EitherFileQueue : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    queue = GetParam() ? file_queue::make_of_kernel(loop) : file_queue::make_of_threads(loop);
    if (queue == nullptr) GTEST_SKIP() << "no io_uring here";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    path = std::string(folder.data()) + "/file";
  }
  void TearDown() override {
    queue.reset();
    unlink(path.c_str());
    rmdir(folder.data());
  }

  std::int64_t wait_for(operation& one) {
    while (!one.result) EXPECT_TRUE(loop.run_once(true));
    return *one.result;
  }
  std::int64_t run(operation& one) {
    queue->start(one);
    return wait_for(one);
  }
  int open_file(int flags) {
    operation one;
    one.what = verb::open;
    one.path = path;
    one.flags = flags | O_CLOEXEC;
    one.mode = 0600;
    return static_cast<int>(run(one));
  }
  // Fills in a read or a write.
  static void transfer(operation& one, verb what, int fd, std::string& data, off_t offset) {
    one.what = what;
    one.fd = fd;
    one.data = data.data();
    one.size = data.size();
    one.offset = offset;
  }

  std::array<char, 32> folder{"/tmp/triga_file_queue_XXXXXX"};
  std::string path;
  idle_client client;
  loop::event_loop loop{client};
  std::unique_ptr<file_queue> queue;
};

INSTANTIATE_TEST_SUITE_P(Ways, EitherFileQueue, testing::Bool(),
                         [](const auto& which) { return which.param ? "Kernel" : "Threads"; });

TEST_P(EitherFileQueue, WritesReadsMeasuresAndTruncates) {
  const int fd = open_file(O_RDWR | O_CREAT);
  ASSERT_GE(fd, 0);
  std::string text = "hello files";
  operation write;
  transfer(write, verb::write, fd, text, 0);
  EXPECT_EQ(run(write), 11);
  std::string room(100, '.');
  operation read;
  transfer(read, verb::read, fd, room, 6);
  EXPECT_EQ(run(read), 5);
  EXPECT_EQ(room.substr(0, 6), "files.");
  for (const auto& [what, argument, expected] :
       {std::tuple{verb::size, 0, 11}, {verb::truncate, 5, 0}, {verb::size, 0, 5}, {verb::sync, 0, 0}}) {
    operation one;
    one.what = what;
    one.fd = fd;
    one.offset = argument;
    EXPECT_EQ(run(one), expected);
  }
  operation end;
  transfer(end, verb::read, fd, room, 5);
  EXPECT_EQ(run(end), 0);
  operation close;
  close.what = verb::close;
  close.fd = fd;
  EXPECT_EQ(run(close), 0);
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

TEST_P(EitherFileQueue, TellsErrors) {
  EXPECT_EQ(open_file(O_RDONLY), -ENOENT);
  std::string room(10, '.');
  operation read;
  transfer(read, verb::read, 1'000'000, room, 0);
  EXPECT_EQ(run(read), -EBADF);
}

TEST_P(EitherFileQueue, DoesNothingWithinTheCall) {
  const int fd = open_file(O_RDWR | O_CREAT);
  std::string text = "x";
  operation write;
  transfer(write, verb::write, fd, text, 0);
  queue->start(write);
  EXPECT_FALSE(write.result);
  EXPECT_EQ(queue->pending(), 1u);
  EXPECT_EQ(wait_for(write), 1);
  EXPECT_EQ(queue->pending(), 0u);
  close(fd);
}

TEST_P(EitherFileQueue, DoesMoreAtOnceThanItHasRoomFor) {
  const int fd = open_file(O_RDWR | O_CREAT);
  constexpr int count = 2000;
  std::string text(1, 'x');
  std::deque<operation> all;
  for (int at = 0; at < count; ++at) {
    transfer(all.emplace_back(), verb::write, fd, text, at);
    queue->start(all.back());
  }
  for (operation& each : all) EXPECT_EQ(wait_for(each), 1);
  struct stat about{};
  ASSERT_EQ(fstat(fd, &about), 0);
  EXPECT_EQ(about.st_size, count);
  close(fd);
}

TEST_P(EitherFileQueue, CopiesLargeDataWhole) {
  const int fd = open_file(O_RDWR | O_CREAT);
  std::string data(5'000'000, '\0');
  for (std::size_t at = 0; at < data.size(); ++at) data[at] = static_cast<char>(at * 7 >> 3);
  operation write;
  transfer(write, verb::write, fd, data, 0);
  ASSERT_EQ(run(write), 5'000'000);
  std::string room(data.size(), '.');
  operation read;
  transfer(read, verb::read, fd, room, 0);
  ASSERT_EQ(run(read), 5'000'000);
  EXPECT_TRUE(room == data);
  close(fd);
}

// A pipe that nobody writes to: the read is under way for as long as nobody ends it.
TEST_P(EitherFileQueue, CancelsAReadIfTheKernelCanAndOnlyThen) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  std::string room(10, '.');
  operation read;
  transfer(read, verb::read, ends[0], room, -1);
  queue->start(read);
  for (int turn = 0; turn < 3; ++turn) ASSERT_TRUE(loop.run_once(false));
  queue->cancel(read);
  if (!queue->is_of_kernel()) {
    for (int turn = 0; turn < 100 && !read.result; ++turn) ASSERT_TRUE(loop.run_once(false));
    if (!read.result) {
      ASSERT_EQ(write(ends[1], "x", 1), 1);
    }
  }
  const std::int64_t result = wait_for(read);
  EXPECT_TRUE(result == -ECANCELED || (result == 1 && !queue->is_of_kernel())) << result;
  queue->cancel(read);  // long done: nothing happens
  EXPECT_TRUE(loop.run_once(false));
  close(ends[0]);
  close(ends[1]);
}

TEST_P(EitherFileQueue, AQueueThatEndsLeavesNothingUnderWay) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  std::string room(10, '.');
  operation read;
  transfer(read, verb::read, ends[0], room, -1);
  queue->start(read);
  if (!queue->is_of_kernel()) {
    ASSERT_EQ(write(ends[1], "x", 1), 1);  // a thread has to be let go
  }
  queue.reset();
  EXPECT_FALSE(read.result);
  ASSERT_EQ(write(ends[1], "late", 4), 4);
  EXPECT_TRUE(loop.run_once(false));
  EXPECT_EQ(room.find("late"), std::string::npos) << "nobody reads into the buffer any more";
  close(ends[0]);
  close(ends[1]);
}

TEST(FileQueue, AForkedChildTakesNothingOfItsParents) {
  idle_client client;
  loop::event_loop loop(client);
  auto queue = file_queue::make(loop);
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  std::string room(10, '.');
  operation read;
  read.what = verb::read;
  read.fd = ends[0];
  read.data = room.data();
  read.size = room.size();
  read.offset = -1;
  queue->start(read);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool ran = loop.run_once(false) && !read.result;
    queue.reset();
    _exit(ran ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_EQ(write(ends[1], "right", 5), 5);
  while (!read.result) ASSERT_TRUE(loop.run_once(true));
  EXPECT_EQ(*read.result, 5);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace triga::aio
