// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/sync/futex.h"

namespace triga::shm {

// Names a process for good: its pid in the lower half, in the upper half a stamp of when it began, so that
// the next process with the same pid has another name. Never 0.
using process_name = std::uint64_t;
process_name this_process() noexcept;
// True only if the process of that name has ended (a zombie has). What cannot be found out counts as alive.
bool is_gone(process_name who) noexcept;

// A lock in memory that processes share and write nonsense to, and in which any of them may die.
//
// The problem: a process that is killed between lock and unlock leaves it locked. The C library's robust
// mutexes solve that, but link themselves through the shared memory with pointers, which whoever else has the
// memory can spoil; this lock holds nothing but its owner's name. Who has waited for a while asks the kernel
// whether the owner lives, and takes the lock over from the dead. So what the lock guards has to be whole
// after every single store that is made under it.
//
// All bits zero is a free lock.
class owner_lock {
 public:
  enum class status {
    locked,
    recovered,   // locked, and its last owner died with it
    busy,        // somebody else has it
    interrupted  // a signal handler ran
  };

  // Looks for a moment, never sleeps.
  status try_lock() noexcept;
  // Sleeps as long as somebody alive has it, or until a signal.
  status lock() noexcept;
  void unlock() noexcept;

 private:
  bool acquire(process_name who) noexcept {
    std::uint64_t free = 0;
    // seq_cst: half of the Dekker pattern with unlock(), see there.
    return owner_.compare_exchange_strong(free, who, std::memory_order_seq_cst);
  }
  bool inherit(process_name who) noexcept;

  std::atomic<std::uint64_t> owner_;
  sync::futex_word asleep_;  // 1: somebody may sleep
};

// A held owner_lock.
class [[nodiscard]] lock_holder {
 public:
  explicit lock_holder(owner_lock& lock) noexcept : lock_(&lock) {}
  lock_holder(const lock_holder&) = delete;
  lock_holder& operator=(const lock_holder&) = delete;
  lock_holder(lock_holder&&) = delete;
  lock_holder& operator=(lock_holder&&) = delete;
  ~lock_holder() { lock_->unlock(); }

 private:
  owner_lock* lock_;
};

}  // namespace triga::shm
