// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace triga::codec {

// Bytes that a codec produced: memory of malloc, which grows in place where it can and is not written before
// it is used.
class output {
 public:
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_.get(), size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // Makes room for `more` bytes at least behind those that are there, and returns the room. Throws
  // std::bad_alloc.
  std::span<std::byte> room(std::size_t more) {
    if (capacity_ - size_ < more) grow(size_ + more);
    return {data_.get() + size_, capacity_ - size_};
  }
  // So many bytes of the room were written.
  void wrote(std::size_t count) noexcept { size_ += count; }

  // Gives back memory that is not used, where that is much.
  void trim() noexcept {
    if (capacity_ / 4 * 3 <= size_) return;
    // A shrinking realloc() does not fail; if it does, the memory stays as it is.
    if (void* const smaller = std::realloc(data_.get(), size_ != 0 ? size_ : 1)) adopt(smaller, size_);
  }

 private:
  struct free_memory {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };

  void grow(std::size_t least) {
    const std::size_t wanted = least > capacity_ * 2 ? least : capacity_ * 2;
    void* const larger = std::realloc(data_.get(), wanted);
    if (larger == nullptr) throw std::bad_alloc();
    adopt(larger, wanted);
  }
  void adopt(void* memory, std::size_t capacity) noexcept {
    [[maybe_unused]] const void* const freed = data_.release();  // by realloc()
    data_.reset(static_cast<std::byte*>(memory));
    capacity_ = capacity;
  }

  std::unique_ptr<std::byte, free_memory> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace triga::codec
