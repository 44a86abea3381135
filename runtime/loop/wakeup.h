// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/base/unique_fd.h"
#include "runtime/io/poller.h"

namespace triga::loop {

// Brings a loop back from its wait, from any thread or signal handler. Many calls between two waits cost one
// write: the first one sets `pending_`, which only the loop's own thread takes back.
class wakeup final : public io::watcher {
 public:
  // Throws std::system_error if the kernel gives no eventfd.
  explicit wakeup(io::poller& poller);
  wakeup(const wakeup&) = delete;
  wakeup& operator=(const wakeup&) = delete;
  wakeup(wakeup&&) = delete;
  wakeup& operator=(wakeup&&) = delete;
  ~wakeup();

  // Any thread; async-signal-safe.
  void notify() noexcept;
  // Closes the eventfd; notify() does nothing any more. May be called twice.
  void close() noexcept;
  // In a forked child: an eventfd of its own, as the old one is the parent's too.
  void renew();

  void on_ready(std::uint32_t events) override;

 private:
  void open();

  io::poller& poller_;
  unique_fd fd_;
  std::atomic<bool> pending_{false};
};

}  // namespace triga::loop
