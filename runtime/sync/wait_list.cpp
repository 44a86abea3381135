// SPDX-License-Identifier: MIT
#include "runtime/sync/wait_list.h"

#include <sched.h>

#include "runtime/base/fork_generation.h"
#include "runtime/sync/pause.h"
#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"

namespace triga::sync {

// Holds the list's lock. Taking it in a forked child for the first time empties the list, whoever held the
// lock.
class [[nodiscard]] wait_list::guard {
 public:
  explicit guard(wait_list& list) noexcept : list_(list), free_(std::uint64_t{fork_generation()} << 32) {
    for (int attempt = 0;; ++attempt) {
      std::uint64_t seen = list.lock_.load(std::memory_order_relaxed);
      const bool stale = (seen ^ free_) >> 32 != 0;
      // Acquire: sees the links as the last holder left them (its release in the destructor).
      if ((stale || seen == free_) &&
          list.lock_.compare_exchange_weak(seen, free_ | 1, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
        if (stale) list.head_.store(nullptr, std::memory_order_relaxed);
        return;
      }
      // The holder is a few instructions from the end, unless it was preempted.
      if (attempt < 64)
        pause();
      else
        sched_yield();
    }
  }
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  guard(guard&&) = delete;
  guard& operator=(guard&&) = delete;
  ~guard() { list_.lock_.store(free_, std::memory_order_release); }

 private:
  wait_list& list_;
  const std::uint64_t free_;
};

wait_status waiter::park(time_point deadline) noexcept {
  std::uint32_t expected = waiting;
  // Relaxed: announces the sleep and carries no data. Fails where it was announced before, or told already.
  state_.compare_exchange_strong(expected, asleep, std::memory_order_relaxed);
  while (!notified()) {
    const wait_status outcome = futex_wait(state_, asleep, deadline);
    if (outcome != wait_status::woken && !notified()) return outcome;
  }
  return wait_status::woken;
}

waiter::look_out waiter::spin_for_notification() const noexcept {
  spin turn(waiting_for::notification);
  while (turn.again()) {
    if (notified()) {
      turn.succeeded();
      return look_out::came;
    }
  }
  return turn.began() ? look_out::in_vain : look_out::not_now;
}

void wait_list::enqueue(waiter& self) noexcept {
  const guard held(*this);
  // Relaxed: the waiter is published by the lock.
  self.state_.store(waiter::waiting, std::memory_order_relaxed);
  self.generation_ = fork_generation();
  waiter* const head = head_locked();
  if (head == nullptr) {
    self.next_ = self.previous_ = &self;
    head_.store(&self, std::memory_order_relaxed);
    return;
  }
  self.next_ = head;
  self.previous_ = head->previous_;
  self.previous_->next_ = &self;
  head->previous_ = &self;
}

void wait_list::unlink_locked(waiter& self) noexcept {
  if (self.next_ == &self) {
    head_.store(nullptr, std::memory_order_relaxed);
  } else {
    self.next_->previous_ = self.previous_;
    self.previous_->next_ = self.next_;
    if (head_locked() == &self) head_.store(self.next_, std::memory_order_relaxed);
  }
  self.next_ = self.previous_ = nullptr;
}

bool wait_list::withdraw(waiter& self) noexcept {
  const guard held(*this);
  if (self.notified()) return false;
  // In a forked child the list forgot the waiter, and its links lead to waiters that are not there.
  if (self.generation_ == fork_generation()) unlink_locked(self);
  return true;
}

void wait_list::enqueue_again_after_fork(waiter& self) noexcept {
  if (self.generation_ != fork_generation() && !self.notified()) enqueue(self);
}

std::size_t wait_list::notify(std::size_t count) noexcept {
  std::size_t done = 0;
  while (done < count && !empty()) {
    futex_word* word = nullptr;
    bool sleeps = false;
    {
      const guard held(*this);
      waiter* const first = head_locked();
      if (first == nullptr) break;
      unlink_locked(*first);
      word = &first->state_;
      // Release: pairs with notified(). From here on the waiter may return and its storage may go.
      sleeps = word->exchange(waiter::told, std::memory_order_release) == waiter::asleep;
    }
    // So this is a wake by address only: the kernel looks up sleepers and reads nothing there, and a sleeper
    // that happens to use the address anew sees one spurious wake, which every futex wait has to bear anyway.
    if (sleeps && futex_wake(*word, 1) > 0) trace::count(trace::counter::wakes);
    ++done;
  }
  return done;
}

std::size_t wait_list::notify_all() noexcept { return empty() ? 0 : notify(size()); }

std::size_t wait_list::size() noexcept {
  const guard held(*this);
  waiter* const head = head_locked();
  std::size_t count = 0;
  for (const waiter* each = head; each != nullptr; each = each->next_ == head ? nullptr : each->next_)
    ++count;
  return count;
}

}  // namespace triga::sync
