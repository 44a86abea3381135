// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "runtime/exec/thread_cache.h"
#include "runtime/sync/futex.h"

namespace triga::exec {

// The problem: a thread has work that others can share, and wants to go on with it, not wait for them to
// come: a thread that sleeps takes tens of microseconds to wake, and by then the work may be done. So helpers
// are summoned and may come late; one that comes after dismiss() touches nothing.
//
//   crew helpers([&] { while (loop.next(...)) ...; });
//   helpers.summon(3);
//   ... take part ...
//   helpers.dismiss();
class crew {
 public:
  // `take_part` is called once on each helper's thread. Must not throw.
  explicit crew(std::function<void()> take_part, thread_cache& cache = thread_cache::process());
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  crew(crew&&) = delete;
  crew& operator=(crew&&) = delete;
  ~crew() { dismiss(); }

  // Asks threads of the cache to take part. Returns how many there will be: fewer where the system refuses to
  // start threads.
  unsigned summon(unsigned helpers) noexcept;

  // Nobody begins any more; waits for those that have. False: the deadline passed first. May be called again.
  bool dismiss(time_point deadline = never) noexcept;

 private:
  // Outlives the crew where helpers come late.
  struct shared {
    std::function<void()> take_part;
    sync::futex_word present{0};  // helpers inside, and the bit that nobody may enter any more

    bool enter() noexcept;
    void leave() noexcept;
  };
  struct helper;

  std::shared_ptr<shared> shared_;
  thread_cache& cache_;
};

}  // namespace triga::exec
