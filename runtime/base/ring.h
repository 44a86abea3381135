// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <type_traits>

namespace triga {

// A first-in-first-out buffer of trivial values: a circle of 2^n places, at least 8, that doubles when it is
// full and halves when less than a quarter of it is used, so that a burst does not pin its memory for ever.
// One owner, no lock. Zeroed memory is a ring that reserve() has to be called on before use.
template <class Value>
class ring {
  static_assert(std::is_trivial_v<Value>);

 public:
  static constexpr std::size_t least = 8;

  ring() noexcept = default;
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;
  ring(ring&&) = delete;
  ring& operator=(ring&&) = delete;
  ~ring() { release(); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] Value operator[](std::size_t index) const noexcept {
    return places_[(first_ + index) & (capacity_ - 1)];
  }

  // The smallest ring. False where memory is short, as with push().
  [[nodiscard]] bool reserve() noexcept { return capacity_ != 0 || resize(least); }

  [[nodiscard]] bool push(Value value) noexcept {
    if (size_ == capacity_ && !resize(capacity_ * 2)) return false;
    places_[(first_ + size_++) & (capacity_ - 1)] = value;
    return true;
  }

  // The oldest value; there has to be one.
  Value pop() noexcept {
    const Value value = places_[first_];
    first_ = (first_ + 1) & (capacity_ - 1);
    --size_;
    // A ring that cannot shrink for want of memory goes on as it is.
    if (size_ < capacity_ / 4 && capacity_ > least) static_cast<void>(resize(capacity_ / 2));
    return value;
  }

  // Gives the memory back. May be called twice.
  void release() noexcept {
    std::free(places_);
    places_ = nullptr;
    first_ = size_ = capacity_ = 0;
  }

 private:
  bool resize(std::size_t capacity) noexcept {
    auto* const places = static_cast<Value*>(std::malloc(capacity * sizeof(Value)));
    if (places == nullptr) return false;
    for (std::size_t i = 0; i < size_; ++i) places[i] = (*this)[i];
    std::free(places_);
    places_ = places;
    first_ = 0;
    capacity_ = capacity;
    return true;
  }

  Value* places_ = nullptr;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace triga
