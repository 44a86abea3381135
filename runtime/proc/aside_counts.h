// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/shm/owner_lock.h"

namespace triga::proc {

// How many messages of a queue wait in the memory of their senders, which may die with them. In shared
// memory; all bits zero is none.
//
// Each process counts in a place of its own, under its name, so that the others can take off what a process
// that is gone will never send. Processes beyond the places share one count, which keeps what their dead
// leave behind.
class aside_counts {
 public:
  static constexpr std::size_t places = 64;

  // One more, of this process.
  void add() noexcept;
  // `count` fewer, of this process.
  void drop(std::uint32_t count) noexcept;
  [[nodiscard]] std::uint32_t total() const noexcept;
  // True if another process has counted any: it may be gone.
  [[nodiscard]] bool has_others() const noexcept;
  // Takes off what processes that are gone have counted, and returns how many these were. Asks the kernel
  // about each other process that has counted any.
  std::uint32_t forget_the_gone() noexcept;

 private:
  struct place {
    std::atomic<shm::process_name> owner;
    std::atomic<std::uint32_t> count;
  };

  place* own_place(shm::process_name me) noexcept;
  [[nodiscard]] std::size_t used() const noexcept;

  std::array<place, places> places_;
  std::atomic<std::uint32_t> used_;  // the places from here on were never anybody's
  std::atomic<std::uint32_t> others_;
};

}  // namespace triga::proc
