// SPDX-License-Identifier: MIT
// Many connections that behave badly: they send garbage, stall, read slowly, half-close, reset and vanish.
// Whatever they do, every stream ends once, no descriptor is left, and no connection gets more than one read
// a turn, which is what keeps a turn short for the others.
//
// TRIGA_STORM=10000 makes as many connections (2,000 else), TRIGA_SEED=n other ones.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/loop/event_loop.h"
#include "runtime/net/address.h"
#include "runtime/net/stream.h"

namespace triga::net {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

struct no_callbacks final : loop::loop_client {
  void before_block(bool) override {}
  void after_block() override {}
  bool on_interrupt() override { return true; }
  bool run_callback(const loop::foreign_callback&) override { return true; }
  bool good() const override { return true; }
  void drop(const loop::foreign_callback&) override {}
  void on_due(void*) override {}
};

void release_string(void* owner) noexcept { delete static_cast<std::string*>(owner); }

// The server's side of a connection: sends back what it reads, stops reading above the high-water mark, and
// ends as asyncio's transport does. Each step may end the stream; `ended` is told how often.
class echo final : public stream_sink, public loop::ready_task {
 public:
  echo(loop::event_loop& owner, unique_fd fd)
      : loop_(owner), fd_(std::move(fd)), stream_(*this, release_string) {
    stream_.attach(owner.poller(), fd_.get());
    EXPECT_EQ(stream_.start_reading(), 0);
  }

  void on_ready(std::uint32_t events) override {
    events_ |= events;
    if (std::exchange(posted_, true)) return;
    loop_.post(*this);
  }
  void run() override {
    posted_ = false;
    const std::uint32_t events = std::exchange(events_, 0);
    if (stream_.should_read(events)) {
      ++reads;
      stream_.read_ready();
    }
    if (!stream_.has_ended() && stream_.should_flush(events)) stream_.flush();
  }

  net::receive_space receive_into() override { return {memory_}; }
  void received(std::size_t bytes) override {
    auto* piece = new std::string(reinterpret_cast<const char*>(memory_.data()), bytes);
    stream_.enqueue(piece->data(), piece->size(), piece);
    stream_.flush();
    if (stream_.has_ended()) return;
    EXPECT_EQ(stream_.watch_writable(), 0);
  }
  void received_eof() override {
    if (stream_.close()) ++ended;
  }
  void read_failed(int) override { end(); }
  void pause_writing() override { EXPECT_EQ(stream_.stop_reading(), 0); }
  void resume_writing() override { EXPECT_EQ(stream_.start_reading(), 0); }
  void write_failed(int) override { end(); }
  void drained() override {}
  void half_close_failed(int) override { end(); }
  void closed() override { ++ended; }

  void end() {
    if (stream_.abort()) ++ended;
  }
  [[nodiscard]] bool may_go() const { return ended > 0 && !posted_; }

  int ended = 0;
  int reads = 0;  // in this turn

 private:
  loop::event_loop& loop_;
  unique_fd fd_;
  stream stream_;
  std::array<std::byte, 4096> memory_;
  std::uint32_t events_ = 0;
  bool posted_ = false;
};

class acceptor final : public io::watcher {
 public:
  explicit acceptor(loop::event_loop& owner)
      : loop_(owner), fd_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    const address any = *address::ipv4("127.0.0.1", 0);
    EXPECT_EQ(bind(fd_.get(), any.get(), any.size()), 0);
    EXPECT_EQ(listen(fd_.get(), 16), 0);  // small: connections overflow it
    EXPECT_EQ(getsockname(fd_.get(), name_.to_fill(), name_.size_to_fill()), 0);
    EXPECT_TRUE(owner.poller().add(fd_.get(), EPOLLIN, *this));
  }

  void on_ready(std::uint32_t) override {
    for (int batch = 0; batch < 16; ++batch) {
      unique_fd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      ++accepted;
      served.push_back(std::make_unique<echo>(loop_, std::move(fd)));
    }
  }

  // After a turn: what ended goes, and nobody had more than its share.
  void sweep() {
    std::erase_if(served, [&](const std::unique_ptr<echo>& each) {
      EXPECT_LE(std::exchange(each->reads, 0), 1);
      EXPECT_LE(each->ended, 1);
      ended += each->may_go() ? static_cast<std::size_t>(each->ended) : 0;
      return each->may_go();
    });
  }
  void stop() { loop_.poller().remove(fd_.get()); }
  [[nodiscard]] const address& name() const { return name_; }

  std::vector<std::unique_ptr<echo>> served;
  std::size_t accepted = 0;
  std::size_t ended = 0;

 private:
  loop::event_loop& loop_;
  unique_fd fd_;
  address name_;
};

// A client without manners: at each step it does one thing that comes to its mind.
class hooligan {
 public:
  hooligan(const address& server, std::mt19937_64& dice)
      : dice_(dice),
        fd_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        steps_(dice() % 12) {
    connect(fd_.get(), server.get(), server.size());
  }

  // False: it is gone.
  bool step() {
    if (steps_-- == 0) return leave();
    switch (dice_() % 6) {
      case 0:
      case 1:
        return send_garbage();
      case 2:
        return read_some();
      case 3:
        shutdown(fd_.get(), SHUT_WR);
        return true;
      default:  // stalls
        return true;
    }
  }

 private:
  bool send_garbage() {
    std::string garbage(dice_() % 65536, '\0');
    for (std::size_t at = 0; at < garbage.size(); at += 97) garbage[at] = static_cast<char>(dice_());
    send(fd_.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
    return true;
  }
  bool read_some() {
    std::array<char, 3000> memory;
    recv(fd_.get(), memory.data(), memory.size(), 0);
    return true;
  }
  bool leave() {
    if (dice_() % 2 == 0) {
      const linger reset{.l_onoff = 1, .l_linger = 0};
      setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    fd_.reset();
    return false;
  }

  std::mt19937_64& dice_;
  unique_fd fd_;
  std::uint64_t steps_;
};

TEST(Storm, EveryStreamEndsOnceAndNothingIsLeft) {
  const std::uint64_t connections = number_from("TRIGA_STORM", 2000);
  const std::uint64_t seed = number_from("TRIGA_SEED", 20240607);
  SCOPED_TRACE("TRIGA_SEED=" + std::to_string(seed));
  std::mt19937_64 dice(seed);
  const std::size_t descriptors = open_descriptors();
  {
    no_callbacks client;
    loop::event_loop loop(client);
    acceptor server(loop);
    std::vector<std::unique_ptr<hooligan>> live;
    std::uint64_t made = 0;
    while (made < connections || !live.empty()) {
      for (int batch = 0; batch < 20 && made < connections && live.size() < 300; ++batch, ++made) {
        live.push_back(std::make_unique<hooligan>(server.name(), dice));
      }
      std::erase_if(live, [](const std::unique_ptr<hooligan>& each) { return !each->step(); });
      ASSERT_TRUE(loop.run_once(false));
      server.sweep();
    }
    // The last ones are gone. What the kernel still has of them is told within a few reports each.
    for (std::size_t turn = 0; turn < 10'000; ++turn) {
      ASSERT_TRUE(loop.run_once(false));
      server.sweep();
      if (server.served.empty() && turn > 100) break;
    }
    EXPECT_TRUE(server.served.empty()) << server.served.size() << " of " << server.accepted << " are left";
    EXPECT_EQ(server.ended, server.accepted);
    EXPECT_GT(server.accepted, connections / 2);
    server.stop();
  }
  EXPECT_EQ(open_descriptors(), descriptors);
}

}  // namespace
}  // namespace triga::net
