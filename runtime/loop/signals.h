// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "runtime/io/poller.h"

namespace triga::loop {

// Is told of the signals that a handler wrote to the signal pipe.
class signal_listener {
 public:
  virtual void on_signal(int number) = 0;

 protected:
  ~signal_listener() = default;
};

// The reading end of a signal pipe: a C signal handler (CPython's, through signal.set_wakeup_fd()) writes
// each signal's number as one byte to the other end. The descriptor belongs to somebody else and must be
// non-blocking. A zero byte is a mere wake.
class signal_source final : public io::watcher {
 public:
  signal_source(io::poller& poller, signal_listener& listener) noexcept
      : poller_(poller), listener_(listener) {}
  signal_source(const signal_source&) = delete;
  signal_source& operator=(const signal_source&) = delete;
  signal_source(signal_source&&) = delete;
  signal_source& operator=(signal_source&&) = delete;
  ~signal_source() { detach(); }

  io::status attach(int fd);
  // To be called before the descriptor is closed; may be called twice.
  void detach() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_; }

  void on_ready(std::uint32_t events) override;

 private:
  io::poller& poller_;
  signal_listener& listener_;
  int fd_ = -1;
};

}  // namespace triga::loop
