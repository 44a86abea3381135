// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/base/clock.h"
#include "runtime/sync/futex.h"

namespace triga::sync {

// The problem: threads have to sleep until another thread says that something changed, first come first
// served, with a deadline, and each must be able to leave early (a timeout, a signal, a thread that is
// unwound) without losing a notification that was on its way to it.
//
//   wait_list list;                            beside the state that it is about
//   waiter self;                               on the sleeper's stack
//   list.enqueue(self);                        while the state is still guarded, so that no change can slip
//   between
//   ... give up the guard ...
//   switch (self.park(deadline)) ...           woken: notified; timed_out and interrupted: ask withdraw()
//
// A waiter that is enqueued has to be notified or withdrawn before its storage goes.

class waiter {
 public:
  waiter() noexcept = default;
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;
  waiter(waiter&&) = delete;
  waiter& operator=(waiter&&) = delete;
  ~waiter() = default;

  // True once a notification has taken this waiter off its list.
  // Acquire: what the notifier did before is visible to the one that was notified.
  [[nodiscard]] bool notified() const noexcept { return state_.load(std::memory_order_acquire) == told; }

  // Sleeps until notified (woken), until `deadline` (timed_out) or until a signal handler ran (interrupted).
  wait_status park(time_point deadline) noexcept;

  // Looks out for a notification for a moment, if that has paid lately (see spin.h).
  enum class look_out { came, in_vain, not_now };
  [[nodiscard]] look_out spin_for_notification() const noexcept;

 private:
  friend class wait_list;
  static constexpr std::uint32_t waiting = 0;
  static constexpr std::uint32_t told = 1;
  static constexpr std::uint32_t asleep = 2;  // or about to be: a notifier has to call the kernel

  futex_word state_{waiting};
  waiter* next_ = nullptr;  // both guarded by the list's lock
  waiter* previous_ = nullptr;
  std::uint32_t generation_ = 0;  // of the process that it was enqueued in; only its own thread uses this
};

// A first-in-first-out list of sleepers, 16 bytes. Thread-safe by a lock of its own that is held for a few
// instructions and never across a system call. In a forked child it is found empty: the sleepers of the
// parent are not there, and a lock that one of them held is void.
class wait_list {
 public:
  wait_list() noexcept = default;
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;
  wait_list(wait_list&&) = delete;
  wait_list& operator=(wait_list&&) = delete;
  ~wait_list() = default;

  // Puts a waiter that is on no list behind all others.
  void enqueue(waiter& self) noexcept;

  // Takes `self` off the list. False: it had been notified, and the caller answers for that notification
  // (acts on it, or passes it on).
  bool withdraw(waiter& self) noexcept;

  // After a signal handler that may have forked: puts `self` back if this is a child whose list forgot it.
  void enqueue_again_after_fork(waiter& self) noexcept;

  // Wakes the `count` first waiters, or as many as there are, and returns how many that was.
  std::size_t notify(std::size_t count = 1) noexcept;

  // Wakes those that wait now.
  std::size_t notify_all() noexcept;

  // Without the lock, hence a moment's truth, unless the caller keeps others from enqueuing.
  [[nodiscard]] bool empty() const noexcept { return head_.load(std::memory_order_relaxed) == nullptr; }

  [[nodiscard]] std::size_t size() noexcept;

 private:
  class guard;

  void unlink_locked(waiter& self) noexcept;
  waiter* head_locked() const noexcept { return head_.load(std::memory_order_relaxed); }

  // The fork generation that the list belongs to in the upper half, 1 in the lower half while locked.
  std::atomic<std::uint64_t> lock_{0};
  // The list is a ring: the head's previous_ is the tail. Atomic for empty() alone; written under the lock.
  std::atomic<waiter*> head_{nullptr};
};

static_assert(sizeof(wait_list) == 16);

}  // namespace triga::sync
