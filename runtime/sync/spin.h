// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/base/clock.h"

namespace triga::sync {

// The problem: a thread that sleeps on a futex and is woken at once has paid for two switches, and where its
// processor went idle meanwhile, for waking that processor, which costs a virtual machine 50 us and more. A
// thread that looks out for its event a moment longer is there when it comes; but if nothing comes, the
// moment is lost to everybody else who could have used the processor.
//
// So each thread learns, for each kind of waiting, whether looking out has paid: after a fruitless spin it
// sleeps at once for the next 1, 3, 7 ... 255 waits of that kind, and one that paid halves what the next may
// cost. A spin lasts `longest_spin` at most, gives way to whoever else is ready to run on its processor (63
// to 4095 waits follow without a spin where that took a time slice), and ends early when it runs alone there
// and no other processor is open to this thread, since nobody can bring the event then.
//
//   spin turn(waiting_for::future);                  without the GIL
//   while (turn.again()) {
//     if (it_happened()) return turn.succeeded();
//   }
//   ... sleep ...

// The kinds of waiting that a thread learns about apart from each other.
enum class waiting_for : std::uint8_t {
  task,          // a pool's worker, for work
  job,           // a cached thread, for its next lease
  notification,  // on a wait_list: Event, Condition, semaphores, queues
  future,        // a result, or one of many
  thread_end,    // a join
  process_task,  // a worker process, for work
  answer,        // a process pool's waiter, for results of its workers
  delivery,      // an event loop, for what another thread does for it
  count_
};

inline constexpr nanoseconds longest_spin = std::chrono::microseconds(50);

// The lock that sleepers ask for as soon as they are woken, as the GIL is in a Python process. Who wakes
// another usually holds it, and the other would fall asleep on it again. So whoever lets go of it says so
// here, and a spin that saw its event waits for that. Counts nothing, and is waited for by nobody, where
// nobody says so.
class handover {
 public:
  // Relaxed: a hint, which the lock itself does not depend on.
  static void released() noexcept { releases_.fetch_add(1, std::memory_order_relaxed); }

 private:
  friend class spin;
  inline static std::atomic<std::uint32_t> releases_{0};
};

// One look-out of this thread. Ends with the object, and is learned from then.
class [[nodiscard]] spin {
 public:
  explicit spin(waiting_for what) noexcept;
  spin(const spin&) = delete;
  spin& operator=(const spin&) = delete;
  spin(spin&&) = delete;
  spin& operator=(spin&&) = delete;
  ~spin() {
    if (began_) finish();
  }

  // True: look now. False: this spin is over, or was not worth beginning; sleep.
  bool again() noexcept {
    if (!going_on_) return false;
    before_ = last_;
    last_ = handover::releases_.load(std::memory_order_acquire);
    return ++looks_ % looks_a_round != 0 ? relax() : next_round();
  }

  // The event came: waits for the handover, too, unless it is a thread's end. Always true.
  bool succeeded() noexcept;
  // The event came from another process, whose lock is not ours. Always true.
  bool succeeded_at_once() noexcept {
    paid_ = true;
    return true;
  }

  // Whether again() said true at all: time has passed.
  [[nodiscard]] bool began() const noexcept { return began_; }

 private:
  static constexpr unsigned looks_a_round = 8;

  static bool relax() noexcept;
  bool next_round() noexcept;
  void finish() noexcept;

  const waiting_for what_;
  bool going_on_ = false;
  bool began_ = false;
  bool paid_ = false;
  unsigned looks_ = 0;
  std::uint32_t last_ = 0;    // releases before the look that again() is about to allow
  std::uint32_t before_ = 0;  // and before the look before that, which saw nothing
  time_point began_at_{};
  time_point limit_{};
  nanoseconds given_away_{0};  // while others ran on this processor
};

}  // namespace triga::sync
