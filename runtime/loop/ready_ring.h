// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace triga::loop {

// A first-in-first-out queue of trivially copyable items in one array of a power of two, which grows and
// never shrinks. One thread at a time uses it. No allocation a push, unlike a deque of blocks.
template <class Item>
class ready_ring {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
  [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }

  // Returns the item's number, which stays its own until it is popped.
  std::size_t push(Item item) {
    if (size() == capacity_) grow();
    items_[tail_ & (capacity_ - 1)] = item;
    return tail_++;
  }

  // Requires that the ring is not empty.
  Item pop() noexcept { return items_[head_++ & (capacity_ - 1)]; }

  // The item `at` places behind the first. Requires at < size().
  [[nodiscard]] const Item& operator[](std::size_t at) const noexcept {
    return items_[(head_ + at) & (capacity_ - 1)];
  }
  [[nodiscard]] Item& operator[](std::size_t at) noexcept { return items_[(head_ + at) & (capacity_ - 1)]; }
  // The item that push() gave this number. Requires that it has not been popped.
  [[nodiscard]] Item& numbered(std::size_t number) noexcept { return items_[number & (capacity_ - 1)]; }

 private:
  void grow() {
    const std::size_t larger = capacity_ == 0 ? 64 : capacity_ * 2;
    auto fresh = std::make_unique<Item[]>(larger);
    for (std::size_t number = head_; number != tail_; ++number) {
      fresh[number & (larger - 1)] = numbered(number);
    }
    items_ = std::move(fresh);
    capacity_ = larger;
  }

  std::unique_ptr<Item[]> items_;
  std::size_t capacity_ = 0;
  std::size_t head_ = 0;  // both only ever count up; an item's place is the number modulo the capacity
  std::size_t tail_ = 0;
};

}  // namespace triga::loop
