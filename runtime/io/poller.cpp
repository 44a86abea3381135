// SPDX-License-Identifier: MIT
#include "runtime/io/poller.h"

#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <utility>

#include "runtime/base/fork_generation.h"
#include "runtime/trace/counters.h"

namespace triga::io {
namespace {

constexpr std::size_t first_batch = 128;
constexpr std::size_t largest_batch = 4096;

// Waits in a row that found nothing, before the flag is armed again, which costs as much as six of them; and
// before it is made, which costs some 50 us and a descriptor: a short burst of callbacks shall not pay that.
constexpr unsigned before_arming = 16;
constexpr unsigned before_making = 512;
// Real waits in a row after which a flag that has a descriptor gives it back.
constexpr unsigned before_giving_back = 64;

unique_fd new_epoll() { return unique_fd(epoll_create1(EPOLL_CLOEXEC)); }

std::uint64_t tag(int fd, std::uint32_t generation) noexcept {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
}

int milliseconds_until(nanoseconds left) noexcept {
  // Rounded up: a timer may be late by a millisecond, never early.
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<std::int64_t>(rounded, INT_MAX));
}

// Waits with the precision of a nanosecond where the kernel has epoll_pwait2(2), which is Linux 5.11.
int wait_until(int epoll, epoll_event* events, int room, time_point deadline) {
  static std::atomic<bool> has_pwait2{
      true};  // relaxed: a cached answer of the kernel, the same for every thread
  if (deadline == time_point::min()) return epoll_wait(epoll, events, room, 0);
  if (deadline == never) return epoll_wait(epoll, events, room, -1);
  const nanoseconds left = std::max(nanoseconds::zero(), deadline - monotonic_clock::now());
  if (has_pwait2.load(std::memory_order_relaxed)) {
    const timespec timeout = to_timespec(left);
    const long count = syscall(SYS_epoll_pwait2, epoll, events, room, &timeout, nullptr, 0);
    // A sandbox may answer EPERM for a system call that it does not know.
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    has_pwait2.store(false, std::memory_order_relaxed);
  }
  return epoll_wait(epoll, events, room, milliseconds_until(left));
}

}  // namespace

poller poller::make() {
  unique_fd epoll = new_epoll();
  if (!epoll) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  return poller(std::move(epoll));
}

poller::poller(unique_fd epoll)
    : epoll_(std::move(epoll)), fork_generation_(triga::fork_generation()), batch_(first_batch) {}

const poller::entry* poller::find(int fd) const noexcept {
  const auto at = static_cast<std::size_t>(fd);
  if (fd < 0 || at >= entries_.size() || entries_[at].who == nullptr) return nullptr;
  return &entries_[at];
}

std::uint32_t poller::events_of(int fd) const noexcept {
  const entry* found = find(fd);
  return found != nullptr ? found->events : 0;
}

status poller::control(int operation, int fd, const entry& wanted) const {
  epoll_event event{.events = wanted.events, .data = {.u64 = tag(fd, wanted.generation)}};
  if (epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return status(std::monostate{});
  return status::last_error();
}

status poller::add(int fd, std::uint32_t events, watcher& who) {
  if (fd < 0) return status::failure(EBADF);
  own_after_fork();
  if (static_cast<std::size_t>(fd) >= entries_.size()) entries_.resize(static_cast<std::size_t>(fd) + 1);
  const entry wanted{.who = &who, .events = events, .generation = ++last_generation_};
  status done = control(EPOLL_CTL_ADD, fd, wanted);
  if (!done && done.error() == EEXIST) done = control(EPOLL_CTL_MOD, fd, wanted);
  if (!done) return done;
  entry& slot = entries_[static_cast<std::size_t>(fd)];
  registered_ += slot.who == nullptr;
  slot = wanted;
  return done;
}

status poller::modify(int fd, std::uint32_t events, watcher& who) {
  own_after_fork();
  entry* found = find(fd);
  if (found == nullptr) return status::failure(ENOENT);
  const entry wanted{.who = &who, .events = events, .generation = found->generation};
  status done = control(EPOLL_CTL_MOD, fd, wanted);
  // The descriptor was closed without a word, and its number given to a new one: what is asked for now is
  // meant.
  if (!done && done.error() == ENOENT) done = control(EPOLL_CTL_ADD, fd, wanted);
  if (done) *found = wanted;
  return done;
}

bool poller::remove(int fd) noexcept {
  entry* found = find(fd);
  if (found == nullptr) return false;
  // In a forked child the epoll is the parent's until the next use: only the table is ours to change.
  if (fork_generation_ == triga::fork_generation()) {
    epoll_event ignored{};
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd,
              &ignored);  // fails for a descriptor closed before: gone already
  }
  *found = entry{};
  --registered_;
  removed_since_wait_ = true;
  return true;
}

void poller::close() noexcept {
  flag_.reset();
  epoll_.reset();
  entries_.clear();
  registered_ = next_ = filled_ = 0;
}

void poller::own_after_fork() {
  if (fork_generation_ == triga::fork_generation() || !epoll_) return;
  rebuild();
  next_ = filled_ = 0;
}

void poller::rebuild() {
  unique_fd fresh = new_epoll();
  if (!fresh) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  flag_.reset();  // it watches the old epoll
  empty_waits_ = 0;
  epoll_ = std::move(fresh);
  fork_generation_ = triga::fork_generation();
  for (std::size_t at = 0; at < entries_.size(); ++at) {
    entry& each = entries_[at];
    if (each.who == nullptr || control(EPOLL_CTL_ADD, static_cast<int>(at), each)) continue;
    each = entry{};  // closed by now: there is nothing to wait for
    --registered_;
  }
}

result<std::size_t> poller::wait(time_point deadline) {
  own_after_fork();
  next_ = filled_ = 0;
  trace::count(trace::counter::polls);
  const int count = wait_until(epoll_.get(), batch_.data(), static_cast<int>(batch_.size()), deadline);
  if (count < 0) return result<std::size_t>::last_error();
  removed_since_wait_ = false;
  filled_ = static_cast<std::size_t>(count);
  if (deadline == time_point::min()) {
    note_found(filled_);
  } else {
    note_waited();
  }
  return filled_;
}

void poller::note_found(std::size_t count) {
  waits_ = 0;
  empty_waits_ = count == 0 ? empty_waits_ + 1 : 0;
  if (empty_waits_ < (flag_ != nullptr ? before_arming : before_making)) return;
  empty_waits_ = 0;
  if (flag_ == nullptr) flag_ = readiness_flag::make();
  if (flag_ != nullptr && !flag_->arm(epoll_.get())) flag_.reset();
}

void poller::note_waited() noexcept {
  if (flag_ == nullptr || !flag_->has_descriptor() || ++waits_ < before_giving_back) return;
  flag_.reset();
  empty_waits_ = 0;
}

std::size_t poller::dispatch() {
  std::size_t called = 0;
  bool ghost = false;
  stopped_ = false;
  while (next_ < filled_ && !stopped_) {
    const epoll_event event = batch_[next_++];
    const int fd = static_cast<int>(event.data.u64 & UINT32_MAX);
    const entry* found = find(fd);
    if (found != nullptr && found->generation == event.data.u64 >> 32) {
      ++called;
      found->who->on_ready(event.events);
    } else if (!removed_since_wait_) {
      ghost = true;
    }
  }
  if (called > 0) trace::count(trace::counter::descriptor_events, called);
  if (has_undispatched()) return called;
  // An event that belongs to no registration: the descriptor was closed first, but a duplicate keeps its
  // description in the epoll, which would report it for ever and has no call to forget it.
  if (ghost) rebuild();
  if (filled_ == batch_.size() && batch_.size() < largest_batch) batch_.resize(batch_.size() * 2);
  return called;
}

}  // namespace triga::io
