// SPDX-License-Identifier: MIT
#include "bindings/ipc/sender.h"

#include <cerrno>

#include "bindings/py/errors.h"
#include "bindings/py/gil.h"

namespace triga::ipc {

using status = proc::message_queue::status;

kept_message::kept_message(const outgoing& from) : sequence(from.sequence()), tag(from.tag()) {
  const proc::content what = from.content();
  body.reserve(what.body_size());
  for (const proc::byte_span& piece : what.body) body.insert(body.end(), piece.begin(), piece.end());
  for (const proc::byte_span& buffer : what.buffers) buffers.emplace_back(buffer.begin(), buffer.end());
}

std::size_t kept_message::size() const noexcept {
  std::size_t bytes = body.size();
  for (const auto& buffer : buffers) bytes += buffer.size();
  return bytes;
}

// What a forked child finds here is its parent's, who sends it itself.
void sender::look_for_fork() {
  if (owner_ == shm::this_process()) return;
  owner_ = shm::this_process();
  kept_.clear();
  feeding_ = finishing_ = false;
}

bool sender::has_kept() {
  look_for_fork();
  return !kept_.empty();
}

bool sender::has_feeder() {
  look_for_fork();
  return feeding_;
}

void sender::keep(const outgoing& message) {
  kept_.emplace_back(message);
  queue_->set_aside();
  news_.fetch_add(1, std::memory_order_release);
  sync::futex_wake(news_, 1);
}

void sender::finish() {
  look_for_fork();
  finishing_ = true;
  news_.fetch_add(1, std::memory_order_release);
  sync::futex_wake(news_, 1);
}

void sender::abandon() {
  abandoned_.store(true, std::memory_order_relaxed);  // a feeder that waits looks once a second
  finish();
}

void sender::forget_first() {
  kept_.pop_front();
  queue_->drop_set_aside(1);
}

sender::fed sender::send_first(int& error) {
  // Safe without the GIL: a deque's other end may grow meanwhile, its first element stays where it is, and
  // only the feeder takes it away.
  kept_message& first = kept_.front();
  const std::size_t bytes = first.size();
  const py::gil_release released;
  const proc::byte_span body(first.body);
  const std::vector<proc::byte_span> buffers(first.buffers.begin(), first.buffers.end());
  if (!queue_->has_space(bytes > queue_->inline_limit() ? bytes : 0)) {
    return queue_->await_space(never, bytes) == status::hung_up ? (error = EPIPE, fed::failed) : fed::again;
  }
  auto staged = queue_->stage({.body = std::span(&body, 1), .buffers = buffers}, first.sequence, first.tag);
  if (!staged) {
    error = staged.error();
    return fed::failed;
  }
  for (;;) {
    status put = queue_->put(*staged, proc::message_queue::patience::any, true);
    if (put == status::done) return fed::sent;
    if (abandoned_.load(std::memory_order_relaxed)) put = status::hung_up;
    if (put == status::no_space) put = queue_->await_space(never, 0);
    if (put != status::hung_up && put != status::corrupt) continue;
    queue_->discard(*staged);
    error = put == status::hung_up ? EPIPE : EPROTO;
    return fed::failed;
  }
}

void sender::feed() {
  for (;;) {
    const std::uint32_t seen = news_.load(std::memory_order_acquire);
    while (abandoned_.load(std::memory_order_relaxed) && !kept_.empty()) forget_first();
    if (kept_.empty()) {
      if (finishing_) return;
      const py::gil_release released;  // `news_` lives as long as this object, which the caller holds
      sync::futex_wait(news_, seen, never);
      continue;
    }
    int error = 0;
    switch (send_first(error)) {
      case fed::sent:
        kept_.pop_front();
        break;
      case fed::again:
        break;
      case fed::failed:
        forget_first();
        py::throw_os_error(error);
    }
  }
}

}  // namespace triga::ipc
