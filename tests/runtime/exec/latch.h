// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "runtime/sync/futex.h"

namespace triga::exec {

// A one-way gate that threads can wait at.
class latch {
 public:
  void open() {
    word_.store(1, std::memory_order_release);
    sync::futex_wake(word_, 1 << 20);
  }
  void wait() {
    while (word_.load(std::memory_order_acquire) == 0) sync::futex_wait(word_, 0, never);
  }

 private:
  sync::futex_word word_{0};
};

}  // namespace triga::exec
