// SPDX-License-Identifier: MIT
#include "runtime/proc/zygote_server.h"

#include <poll.h>

#include <array>

namespace triga::proc {

zygote_server::zygote_server(unique_fd parent, unique_fd control, unique_fd listener,
                             unique_fd alive) noexcept
    : parent_(std::move(parent)),
      control_(std::move(control)),
      listener_(std::move(listener)),
      alive_(std::move(alive)) {}

zygote_event zygote_server::await() noexcept {
  for (;;) {
    // poll(2) passes over negative descriptors.
    std::array<pollfd, 4> watched{{{.fd = parent_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = alive_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = control_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = listener_.get(), .events = POLLIN, .revents = 0}}};
    if (::poll(watched.data(), watched.size(), -1) < 0) return zygote_event::interrupted;
    if (watched[0].revents != 0 || watched[1].revents != 0) return zygote_event::over;
    if (watched[2].revents != 0) return zygote_event::request;
    if (watched[3].revents != 0) return zygote_event::connection;
  }
}

bool zygote_server::drop_control() noexcept {
  control_.reset();
  return static_cast<bool>(alive_);
}

void zygote_server::become_spare(unique_fd control) noexcept {
  control_ = std::move(control);
  listener_.reset();
  alive_.reset();
}

void zygote_server::close() noexcept {
  parent_.reset();
  control_.reset();
  listener_.reset();
  alive_.reset();
}

}  // namespace triga::proc
