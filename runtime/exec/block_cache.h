// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace triga::exec {

// The problem: each thread of CPython maps its first stack chunk when it begins and unmaps it when it ends,
// which costs two system calls, page faults and, in a process that runs on several processors, an interrupt
// to each of the others. So a few blocks of one size are kept for the next thread.
//
// Thread-safe without a lock, hence also in a forked child, whatever its parent's threads were doing.
template <std::size_t Capacity>
class block_cache {
 public:
  block_cache() noexcept = default;
  block_cache(const block_cache&) = delete;
  block_cache& operator=(const block_cache&) = delete;
  block_cache(block_cache&&) = delete;
  block_cache& operator=(block_cache&&) = delete;
  ~block_cache() = default;

  // A block that keep() accepted, or nullptr. Its content is what the last user left.
  [[nodiscard]] void* take() noexcept {
    for (auto& slot : slots_) {
      // Relaxed first: an empty slot costs no locked instruction. Acquire: what the last user wrote is over.
      if (slot.load(std::memory_order_relaxed) == nullptr) continue;
      if (void* const block = slot.exchange(nullptr, std::memory_order_acquire)) return block;
    }
    return nullptr;
  }

  // True: the cache has the block now. False: it is full.
  [[nodiscard]] bool keep(void* block) noexcept {
    for (auto& slot : slots_) {
      void* expected = nullptr;
      if (slot.load(std::memory_order_relaxed) != nullptr) continue;
      // Release: pairs with the acquire in take().
      if (slot.compare_exchange_strong(expected, block, std::memory_order_release,
                                       std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

 private:
  std::array<std::atomic<void*>, Capacity> slots_{};
};

}  // namespace triga::exec
