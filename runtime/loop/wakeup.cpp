// SPDX-License-Identifier: MIT
#include "runtime/loop/wakeup.h"

#include <sys/eventfd.h>

#include <system_error>

namespace triga::loop {

wakeup::wakeup(io::poller& poller) : poller_(poller) { open(); }

wakeup::~wakeup() { close(); }

void wakeup::close() noexcept {
  poller_.remove(fd_.get());
  fd_.reset();
}

void wakeup::open() {
  fd_ = unique_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd_) throw std::system_error(errno, std::generic_category(), "eventfd");
  // Edge-triggered: every write is reported once, so that nothing has to be read back.
  std::move(poller_.add(fd_.get(), EPOLLIN | EPOLLET, *this)).value_or_throw("epoll_ctl(eventfd)");
}

void wakeup::notify() noexcept {
  // Release: what the caller queued before is seen by the loop's thread when it takes the flag back in
  // on_ready(). Acquire: the flag of an earlier, unanswered call carries that call's queue entries along.
  if (pending_.exchange(true, std::memory_order_acq_rel)) return;
  const std::uint64_t one = 1;
  // Fails only when the counter would overflow, and then the eventfd is readable already.
  static_cast<void>(!write(fd_.get(), &one, sizeof one));
}

void wakeup::renew() {
  close();
  pending_.store(false, std::memory_order_relaxed);  // the child has one thread
  open();
}

void wakeup::on_ready(std::uint32_t) { pending_.exchange(false, std::memory_order_acq_rel); }

}  // namespace triga::loop
