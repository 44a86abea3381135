// SPDX-License-Identifier: MIT
#include "runtime/net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "runtime/trace/counters.h"

namespace triga::net {
namespace {

// Pieces given to one sendmsg(2). The kernel allows 1,024 (IOV_MAX); 64 covers bursts and keeps the array on
// the stack at a kilobyte.
constexpr std::size_t pieces_per_send = 64;

// EINTR: the next readiness report comes at once. A signal handler of Python's should run before another
// attempt.
bool would_block(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

send_outcome outcome_of(ssize_t sent) noexcept {
  if (sent >= 0) {
    trace::count(trace::counter::bytes_written, static_cast<std::uint64_t>(sent));
    return {.bytes = static_cast<std::size_t>(sent), .error = 0};
  }
  return {.bytes = 0, .error = would_block(errno) ? 0 : errno};
}

}  // namespace

void stream::attach(io::poller& poller, int fd) noexcept {
  poller_ = &poller;
  fd_ = fd;
}

void stream::detach() noexcept {
  if (interest_ != 0) (void)watch(0);
  poller_ = nullptr;
}

void stream::set_no_delay() noexcept {
  const int yes = 1;
  (void)::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

int stream::watch(std::uint32_t interest) {
  if (interest == interest_) return 0;
  if (poller_ == nullptr) return EBADF;
  if (interest == 0) {
    poller_->remove(fd_);
  } else {
    const io::status done =
        interest_ == 0 ? poller_->add(fd_, interest, sink_) : poller_->modify(fd_, interest, sink_);
    if (!done) return done.error();
  }
  interest_ = static_cast<std::uint16_t>(interest);
  return 0;
}

std::size_t stream::share_left() noexcept {
  if (poller_ == nullptr) return SIZE_MAX;  // the socket's error is to show
  if (turn_ != poller_->turn()) {
    turn_ = poller_->turn();
    sent_in_turn_ = 0;
  }
  return sent_in_turn_ < most_sent_per_turn ? most_sent_per_turn - sent_in_turn_ : 0;
}

bool stream::waits_for_its_share() const noexcept {
  return !queue_.empty() && poller_ != nullptr && turn_ == poller_->turn() &&
         sent_in_turn_ >= most_sent_per_turn;
}

void stream::read_ready() {
  const auto [first, rest] = sink_.receive_into();
  if (first.empty()) return;
  const std::array<iovec, 2> both{{{first.data(), first.size()}, {rest.data(), rest.size()}}};
  const ssize_t count =
      rest.empty() ? ::recv(fd_, first.data(), first.size(), 0) : ::readv(fd_, both.data(), both.size());
  if (count > 0) {
    trace::count(trace::counter::bytes_read, static_cast<std::uint64_t>(count));
    sink_.received(static_cast<std::size_t>(count));
  } else if (count == 0) {
    sink_.received_eof();
  } else if (!would_block(errno)) {
    sink_.read_failed(errno);
  }
}

std::size_t stream::readable_bytes() const noexcept {
  int count = 0;
  return ::ioctl(fd_, FIONREAD, &count) == 0 && count > 0 ? static_cast<std::size_t>(count) : 0;
}

int stream::start_reading() { return closing_ ? 0 : watch(interest_ | EPOLLIN); }

int stream::stop_reading() { return watch(interest_ & ~std::uint32_t{EPOLLIN}); }

send_outcome stream::try_send(const void* data, std::size_t size) noexcept {
  const std::size_t most = share_left();
  if (most == 0) return {};
  const send_outcome sent = send_some(data, std::min(size, most));
  sent_in_turn_ += static_cast<std::uint32_t>(sent.bytes);
  return sent;
}

send_outcome stream::send_some(const void* data, std::size_t size) noexcept {
  // MSG_NOSIGNAL: a vanished peer is an error of this write, never a SIGPIPE for the process.
  return outcome_of(::send(fd_, data, size, MSG_NOSIGNAL));
}

send_outcome stream::send_queued(std::size_t most) noexcept {
  if (const auto piece = queue_.only_piece(); !piece.empty()) {
    return send_some(piece.data(), std::min(piece.size(), most));
  }
  std::array<iovec, pieces_per_send> pieces;
  const std::span<iovec> filled = queue_.gather(pieces, most);
  msghdr message{};
  message.msg_iov = filled.data();
  message.msg_iovlen = filled.size();
  return outcome_of(::sendmsg(fd_, &message, MSG_NOSIGNAL));
}

std::optional<send_outcome> stream::send_share(bool others) noexcept {
  if (ended_) return std::nullopt;
  if (queue_.empty()) return unheard_ ? std::optional(send_outcome{}) : std::nullopt;
  const std::size_t share = share_left();
  const std::size_t most = others ? share : SIZE_MAX;
  if (most == 0) return std::nullopt;
  const send_outcome sent = send_queued(most);
  sent_in_turn_ += static_cast<std::uint32_t>(std::min(sent.bytes, most_sent_per_turn));
  if (sent.error == 0) queue_.consume(sent.bytes);
  return sent;
}

void stream::tell(const send_outcome& sent) {
  const bool drained_before = unheard_ && sent.bytes == 0 && queue_.empty();
  unheard_ = false;  // what follows tells of all
  if (sent.error != 0) {
    queue_.clear();
    (void)watch(interest_ & ~std::uint32_t{EPOLLOUT});
    sink_.write_failed(sent.error);
    return;
  }
  check_low_water();
  if (!queue_.empty() || ended_) return;
  if (!drained_before) everything_sent();
  finish_closing();
}

void stream::everything_sent() {
  (void)watch(interest_ & ~std::uint32_t{EPOLLOUT});
  sink_.drained();
  if (!ended_ && !closing_ && half_closed_ && ::shutdown(fd_, SHUT_WR) != 0) sink_.half_close_failed(errno);
}

void stream::finish_closing() {
  if (ended_ || !closing_) return;
  ended_ = true;
  sink_.closed();
}

void stream::send_unheard() noexcept {
  while (!queue_.empty()) {
    const send_outcome sent = send_queued(SIZE_MAX);
    if (sent.bytes == 0) return;
    unheard_ = true;
    queue_.consume(sent.bytes);
  }
  if (unheard_ && half_closed_ && !closing_) (void)::shutdown(fd_, SHUT_WR);
}

int stream::watch_writable() {
  if (queue_.empty()) return 0;
  const int error = waits_for_its_share() ? 0 : watch(interest_ | EPOLLOUT);
  if (error == 0) check_high_water();
  return error;
}

int stream::shut_down_writing() {
  if (closing_ || half_closed_) return 0;
  half_closed_ = true;
  return queue_.empty() && ::shutdown(fd_, SHUT_WR) != 0 ? errno : 0;
}

bool stream::close() {
  if (closing_) return false;
  closing_ = true;
  (void)stop_reading();
  // What send_unheard() has emptied ends with the call of flush() that is due: the owner hears of it there.
  if (!queue_.empty() || unheard_) return false;
  ended_ = true;
  (void)watch(0);
  return true;
}

bool stream::abort() {
  if (ended_) return false;
  queue_.clear();
  closing_ = true;
  ended_ = true;
  (void)watch(0);
  return true;
}

void stream::set_water_marks(std::size_t high, std::size_t low) noexcept {
  high_water_ = high;
  low_water_ = low;
}

void stream::check_high_water() {
  if (writing_paused_ || queue_.bytes() <= high_water_) return;
  writing_paused_ = true;
  sink_.pause_writing();
}

void stream::check_low_water() {
  if (!writing_paused_ || queue_.bytes() > low_water_) return;
  writing_paused_ = false;
  sink_.resume_writing();
}

}  // namespace triga::net
