// SPDX-License-Identifier: MIT
// What the tests of streams share: an owner that writes down what it is told, and a connection for it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/net/stream.h"
#include "runtime/trace/counters.h"

namespace triga::net::stream_tests {

inline void release_string(void* owner) noexcept { delete static_cast<std::string*>(owner); }

// A stream over one end of a connection, with an owner that writes down what it is told and can be given
// reactions.
class recorder final : public stream_sink {
 public:
  recorder(io::poller& poller, int fd) : connection(*this, release_string) { connection.attach(poller, fd); }

  void on_ready(std::uint32_t events) override {
    if (connection.should_read(events)) connection.read_ready();
    if (connection.should_flush(events)) connection.flush();
  }
  net::receive_space receive_into() override {
    return {std::span(memory_).first(room), std::span(memory_).subspan(room).first(room_behind)};
  }
  void received(std::size_t bytes) override {
    input.append(reinterpret_cast<const char*>(memory_.data()), bytes);
    if (on_received) on_received();
  }
  void received_eof() override {
    told.emplace_back("eof");
    (void)connection.stop_reading();
  }
  void read_failed(int error) override { fail("read", error); }
  void pause_writing() override { told.emplace_back("pause"); }
  void resume_writing() override {
    told.emplace_back("resume");
    if (on_resume) on_resume();
  }
  void write_failed(int error) override { fail("write", error); }
  void drained() override { told.emplace_back("drained"); }
  void half_close_failed(int error) override { fail("half close", error); }
  void closed() override { told.emplace_back("closed"); }

  // As a transport writes: at once what the kernel takes, the rest later.
  void write(std::string_view text) {
    std::size_t sent = 0;
    if (connection.queued_bytes() == 0) sent = connection.try_send(text.data(), text.size()).bytes;
    if (sent < text.size()) {
      auto* rest = new std::string(text.substr(sent));
      connection.enqueue(rest->data(), rest->size(), rest);
    }
    EXPECT_EQ(connection.watch_writable(), 0);
  }

  [[nodiscard]] bool was_told(const std::string& what) const {
    return std::find(told.begin(), told.end(), what) != told.end();
  }

  stream connection;
  std::string input;
  std::vector<std::string> told;
  std::function<void()> on_received, on_resume;
  std::size_t room = 4096, room_behind = 0;

 private:
  void fail(const char* what, int error) {
    told.push_back(std::string(what) + " " + std::to_string(error));
    (void)connection.abort();
  }

  std::array<std::byte, 4096> memory_{};
};

inline void make_non_blocking(int fd) { ASSERT_EQ(::fcntl(fd, F_SETFL, O_NONBLOCK), 0); }

inline void shrink_buffers(int fd) {
  const int size = 4096;
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
  ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

inline std::string receive_some(int fd, std::size_t most = 65536) {
  std::string text(most, '\0');
  const ssize_t count = ::recv(fd, text.data(), most, MSG_DONTWAIT);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

inline std::uint64_t counted(trace::counter which) {
  return trace::snapshot()[static_cast<std::size_t>(which)];
}

class Stream : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    near.reset(ends[0]);
    far.reset(ends[1]);
    for (const int fd : ends) {
      make_non_blocking(fd);
      shrink_buffers(fd);
    }
  }

  // One turn: everything that is ready now.
  void turn() {
    poller.begin_turn();
    ASSERT_TRUE(poller.wait(time_point::min()));
    poller.dispatch();
  }

  // Drains the far end and gives the near one turns until nothing moves any more.
  std::string drain() {
    std::string all;
    for (;;) {
      const std::string some = receive_some(far.get());
      all += some;
      turn();
      if (some.empty() && receive_some(far.get(), 0).empty()) {
        const std::string last = receive_some(far.get());
        if (last.empty()) return all;
        all += last;
      }
    }
  }

  io::poller poller = io::poller::make();
  unique_fd near, far;
};

}  // namespace triga::net::stream_tests
