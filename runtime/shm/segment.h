// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

namespace triga::shm {

// A range of a segment in this process's address space, unmapped when the owner goes.
class mapping {
 public:
  mapping() noexcept = default;
  mapping(std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
  mapping(const mapping&) = delete;
  mapping& operator=(const mapping&) = delete;
  mapping(mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  mapping& operator=(mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~mapping();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Maps the pages of a shared mapping, which are there, at once, not when they are touched.
void map_pages(std::span<std::byte> memory) noexcept;

// Anonymous shared memory behind a descriptor (memfd_create(2)). Its size is sealed at birth: were the other
// side able to shrink it, reading a mapping of it would be a SIGBUS. It has no name anywhere, so nothing is
// left when the last process that holds it dies. Untouched pages cost nothing, so a size may be far beyond
// the machine's memory.
class segment {
 public:
  segment() noexcept = default;

  static result<segment> create(const char* name, std::uint64_t size);
  // Takes over a descriptor that came from another process; EINVAL if it is no sealed segment.
  static result<segment> adopt(unique_fd descriptor);

  [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  enum class access {
    shared,        // reads and writes that the other side sees
    copy_on_write  // writes stay here
  };
  // Maps [offset, offset + length), any offset.
  [[nodiscard]] result<mapping> map(std::uint64_t offset, std::size_t length, access how) const;

  // write(2) at an offset: the pages appear, and a machine that has none left says so with an errno, no
  // signal.
  [[nodiscard]] int write_at(std::uint64_t offset, std::span<const std::byte> bytes) const noexcept;
  [[nodiscard]] int read_at(std::uint64_t offset, std::span<std::byte> bytes) const noexcept;
  // How many bytes of it have pages now.
  [[nodiscard]] std::uint64_t present() const noexcept;
  // Gives the pages of the range back to the machine, the last one whole; they read as zeros from now on.
  void discard(std::uint64_t offset, std::uint64_t length) const noexcept;

 private:
  segment(unique_fd descriptor, std::uint64_t size) noexcept
      : descriptor_(std::move(descriptor)), size_(size) {}

  unique_fd descriptor_;
  std::uint64_t size_ = 0;
};

}  // namespace triga::shm
