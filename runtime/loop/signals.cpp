// SPDX-License-Identifier: MIT
#include "runtime/loop/signals.h"

#include <unistd.h>

#include <array>
#include <utility>

namespace triga::loop {

io::status signal_source::attach(int fd) {
  detach();
  io::status added = poller_.add(fd, EPOLLIN, *this);
  if (added) fd_ = fd;
  return added;
}

void signal_source::detach() noexcept {
  if (fd_ >= 0) poller_.remove(std::exchange(fd_, -1));
}

void signal_source::on_ready(std::uint32_t) {
  std::array<unsigned char, 256> numbers;
  ssize_t count = 0;
  // Level-triggered: what does not fit is reported again. A listener may detach us, so fd_ is read each time.
  do {
    count = read(fd_, numbers.data(), numbers.size());
  } while (count < 0 && errno == EINTR);
  for (ssize_t at = 0; at < count; ++at) {
    if (const int number = numbers[static_cast<std::size_t>(at)]; number != 0) listener_.on_signal(number);
  }
}

}  // namespace triga::loop
