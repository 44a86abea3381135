// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "runtime/io/poller.h"
#include "runtime/net/write_queue.h"

namespace triga::net {

// Where the next bytes should go: what the first memory has no room for goes into the rest.
struct receive_space {
  std::span<std::byte> first;
  std::span<std::byte> rest = {};
};

// What a stream tells its owner. The owner is what the poller calls; its on_ready() has read_ready() and
// flush() called, there or later, as should_read() and should_flush() say. The stream calls the rest from
// those two; each may close, abort, pause or write to the stream, but not destroy it.
class stream_sink : public io::watcher {
 public:
  stream_sink() = default;
  stream_sink(const stream_sink&) = delete;
  stream_sink& operator=(const stream_sink&) = delete;
  stream_sink(stream_sink&&) = delete;
  stream_sink& operator=(stream_sink&&) = delete;

  // No room in the first memory: nothing is read this time (the owner has dealt with the reason).
  virtual receive_space receive_into() = 0;
  virtual void received(std::size_t bytes) = 0;  // that many bytes are in the space given last
  virtual void received_eof() = 0;               // the peer sends no more: close, or stop reading
  virtual void read_failed(int error) = 0;       // errno of recv(2), never EAGAIN or EINTR: abort

  virtual void pause_writing() = 0;               // more than the high-water mark is queued
  virtual void resume_writing() = 0;              // as little as the low-water mark is queued; may write
  virtual void write_failed(int error) = 0;       // errno of sendmsg(2); the queue is empty by now: abort
  virtual void drained() = 0;                     // the queue became empty
  virtual void half_close_failed(int error) = 0;  // errno of shutdown(2), asked for by shut_down_writing()
  virtual void closed() = 0;  // close() was called before and the rest is sent now: the end

 protected:
  ~stream_sink() = default;
};

// What a non-blocking send took: `error` is 0 when the kernel took anything or would block.
struct send_outcome {
  std::size_t bytes = 0;
  int error = 0;
};

// A connected stream socket (TCP, Unix) on a poller: asyncio's selector transport without Python.
//
// The problem: a transport has to send at once what the kernel takes, keep the rest, watch for writability
// only while there is a rest, watch for readability only while its owner wants data, and end in exactly one
// way however close, half close, errors and the peer's disappearance interleave.
//
// It is used by one thread, the poller's. The descriptor belongs to the owner, who keeps it open until the
// stream stopped watching. It is registered once: while nothing changes in what is waited for, no epoll_ctl
// is made; while nothing is waited for, it is not registered, so that others may watch it (sendfile does).
// Readiness is level-triggered: a read that took only part is told again next turn, which also is fair to
// other connections. Sending is fair in the same way: a stream has a share of each turn, and what goes beyond
// it is left for the next, unless nobody else has to be served. Without that, whoever writes to a peer that
// takes everything would keep the loop to itself, and megabytes would lie in the kernel, out of the
// processor's caches, before anybody reads them.
class stream {
 public:
  static constexpr std::size_t default_high_water = 64 * 1024;
  static constexpr std::size_t most_sent_per_turn = 240 * 1024;

  stream(stream_sink& sink, write_queue::release_function release) noexcept : sink_(sink), queue_(release) {}
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  stream(stream&&) = delete;
  stream& operator=(stream&&) = delete;
  ~stream() { detach(); }

  // Gives the stream its descriptor and its poller; nothing is watched yet. detach() stops watching for good
  // and may be called twice.
  void attach(io::poller& poller, int fd) noexcept;
  void detach() noexcept;

  // TCP only: what is written leaves at once, also while earlier data is not acknowledged yet (TCP_NODELAY).
  // Another kind of socket knows no such option, and stays as it is.
  void set_no_delay() noexcept;

  // Whether what epoll reported concerns the reader or the writer, as things stand now. An error or a hang-up
  // concerns whoever waits, as in selectors.EpollSelector. What is not handled is reported again.
  [[nodiscard]] bool should_read(std::uint32_t events) const noexcept {
    return (events & ~std::uint32_t{EPOLLOUT}) != 0 && watches_reading();
  }
  [[nodiscard]] bool should_flush(std::uint32_t events) const noexcept {
    return (events & ~std::uint32_t{EPOLLIN}) != 0 && watches_writing();
  }
  // Receives once, into the sink's memory, and tells the sink what came of it.
  void read_ready();

  // Each returns the errno of epoll_ctl(2), or 0.
  [[nodiscard]] int start_reading();
  [[nodiscard]] int stop_reading();

  // Sends now what the kernel takes of this turn's share; only when nothing is queued before it.
  [[nodiscard]] send_outcome try_send(const void* data, std::size_t size) noexcept;
  // Queues memory that `owner` keeps alive; see write_queue. Sends nothing yet: call flush() or
  // watch_writable().
  void enqueue(const void* data, std::size_t size, void* owner) { queue_.push(data, size, owner); }
  // Sends from the queue what the kernel takes of this turn's share, and tells the sink what came of it. With
  // no `others` who wait for the turn's end the share is whatever the kernel takes.
  void flush(bool others = true) {
    if (const std::optional<send_outcome> sent = send_share(others)) tell(*sent);
  }
  // flush() in two steps, for an owner that has to prepare for what it is told, and mostly is told nothing.
  // The first sends, and the second is due if that gave an outcome. It may be left out if has_to_tell() says
  // so.
  [[nodiscard]] std::optional<send_outcome> send_share(bool others = true) noexcept;
  void tell(const send_outcome& sent);
  [[nodiscard]] bool has_to_tell(const send_outcome& sent) const noexcept {
    return sent.error != 0 || !queue_.empty() || writing_paused_ || closing_ || half_closed_ || unheard_ ||
           watches_writing();
  }
  // Sends from the queue what the kernel takes, however much, and the FIN if one is to follow, and tells
  // nobody: flush() will, also if nothing is left by then. An error shows again at the next attempt.
  void send_unheard() noexcept;
  // Was the queue left as it is because this turn's share was sent, not because the kernel is full? Then
  // flush() is to be called in the next turn.
  [[nodiscard]] bool waits_for_its_share() const noexcept;
  // After enqueue(): watches for writability if anything is queued that the kernel would not take, and has
  // the sink pause above the high-water mark.
  [[nodiscard]] int watch_writable();

  // Sends FIN when everything queued is sent, now if nothing is. Returns the errno of a shutdown(2) made now,
  // or 0.
  [[nodiscard]] int shut_down_writing();
  // Stops reading and ends when everything queued is sent. True: that is now, the caller tells of the end
  // (otherwise sink.closed() will, or it is over already).
  [[nodiscard]] bool close();
  // Drops what is queued and ends now. True: it had not ended before, the caller tells of the end.
  [[nodiscard]] bool abort();

  void set_water_marks(std::size_t high, std::size_t low) noexcept;
  void check_high_water();
  void check_low_water();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  // How many bytes could be received without waiting; 0 if the kernel does not say. ioctl FIONREAD.
  [[nodiscard]] std::size_t readable_bytes() const noexcept;
  [[nodiscard]] std::size_t queued_bytes() const noexcept { return queue_.bytes(); }
  [[nodiscard]] std::size_t high_water() const noexcept { return high_water_; }
  [[nodiscard]] bool is_closing() const noexcept { return closing_; }
  [[nodiscard]] bool has_ended() const noexcept { return ended_; }
  [[nodiscard]] bool writing_shut_down() const noexcept { return half_closed_; }
  [[nodiscard]] bool writing_paused() const noexcept { return writing_paused_; }
  [[nodiscard]] bool watches_reading() const noexcept { return (interest_ & EPOLLIN) != 0; }
  [[nodiscard]] bool watches_writing() const noexcept { return (interest_ & EPOLLOUT) != 0; }
  [[nodiscard]] bool is_registered() const noexcept { return interest_ != 0; }

 private:
  void everything_sent();
  void finish_closing();
  [[nodiscard]] std::size_t share_left() noexcept;
  [[nodiscard]] send_outcome send_some(const void* data, std::size_t size) noexcept;
  [[nodiscard]] send_outcome send_queued(std::size_t most) noexcept;
  [[nodiscard]] int watch(std::uint32_t interest);

  stream_sink& sink_;
  io::poller* poller_ = nullptr;
  write_queue queue_;
  std::size_t high_water_ = default_high_water;
  std::size_t low_water_ = default_high_water / 4;
  int fd_ = -1;
  std::uint32_t turn_ = 0;  // in which something was sent last
  std::uint32_t sent_in_turn_ = 0;
  std::uint16_t interest_ = 0;  // what the poller watches for; 0: not registered
  bool closing_ : 1 = false;
  bool ended_ : 1 = false;
  bool half_closed_ : 1 = false;  // shut_down_writing() was called
  bool writing_paused_ : 1 = false;
  bool unheard_ : 1 = false;  // send_unheard() has sent something
};

}  // namespace triga::net
