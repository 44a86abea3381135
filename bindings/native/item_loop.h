// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "bindings/native/buffer.h"
#include "bindings/native/loop.h"
#include "bindings/py/ref.h"
#include "runtime/codec/compression.h"
#include "runtime/codec/digest.h"

namespace triga {

// What became of one item of a loop that did not fail as a whole.
struct item_error {
  int number = 0;    // an errno, or 0
  std::string text;  // what a library said, if it was one
  [[nodiscard]] explicit operator bool() const noexcept { return number != 0 || !text.empty(); }
};

// A loop over items, each of which may fail by itself.
class item_loop : public native_loop {
 public:
  explicit item_loop(std::size_t items)
      : native_loop(items, 1), errors_(items, item_error{.number = ECANCELED, .text = {}}) {}

  // None, an errno, or a text, for each item; for one that was not begun it is ECANCELED.
  [[nodiscard]] pybind11::list errors() const;

 protected:
  // Each item is begun by one thread, which sets its error or calls this.
  void succeeded(std::size_t item) noexcept { errors_[item].number = 0; }
  item_error& error_of(std::size_t item) noexcept { return errors_[item]; }

 private:
  std::vector<item_error> errors_;
};

// The buffers of a sequence of objects that have one, in their order, C-contiguous. Throws TypeError or
// BufferError that names the item.
std::vector<held_buffer> hold_buffers(const pybind11::list& items);

// Digests of files.
class file_hashing final : public item_loop {
 public:
  file_hashing(std::vector<std::string> paths, const codec::digest_algorithm& algorithm);
  // The digest of an item, or None.
  [[nodiscard]] pybind11::list results() const;

 private:
  class hash_part;
  std::unique_ptr<part> take_part() override;

  const std::vector<std::string> paths_;
  const codec::digest_algorithm algorithm_;
  std::vector<std::byte> digests_;
};

// Digests of buffers.
class buffer_hashing final : public item_loop {
 public:
  buffer_hashing(const pybind11::list& items, const codec::digest_algorithm& algorithm);
  [[nodiscard]] pybind11::list results() const;

 private:
  class hash_part;
  std::unique_ptr<part> take_part() override;

  const std::vector<held_buffer> buffers_;
  const codec::digest_algorithm algorithm_;
  std::vector<std::byte> digests_;
};

// The sizes of files, which file_reading makes room by.
class file_sizes final : public item_loop {
 public:
  explicit file_sizes(std::vector<std::string> paths);

  [[nodiscard]] const std::vector<std::string>& paths() const noexcept { return paths_; }
  [[nodiscard]] std::size_t size_of(std::size_t item) const noexcept { return sizes_[item]; }

 private:
  class size_part;
  std::unique_ptr<part> take_part() override;

  const std::vector<std::string> paths_;
  std::vector<std::size_t> sizes_;
};

// Files' bytes, read right into the bytes objects that results() returns.
class file_reading final : public item_loop {
 public:
  // Throws MemoryError.
  explicit file_reading(const file_sizes& sizes);
  // Once.
  [[nodiscard]] pybind11::list results();

 private:
  class read_part;
  struct file {
    py::ref bytes;  // nobody else has seen it yet
    std::span<std::byte> memory;
    std::size_t filled = 0;
    std::vector<std::byte> rest;  // of a file that was longer than its size said
  };
  std::unique_ptr<part> take_part() override;

  const std::vector<std::string> paths_;
  std::vector<file> files_;
};

// Compressed or decompressed buffers.
class buffer_coding final : public item_loop {
 public:
  enum class direction { compress, decompress };
  // `limit`: the level, or the most bytes that an item may come to.
  buffer_coding(const pybind11::list& items, std::shared_ptr<const codec::compression> with, direction what,
                std::size_t limit, int level);

  [[nodiscard]] const std::vector<codec::output>& outputs() const noexcept { return outputs_; }
  // Lets go of the buffers that were read.
  void release_buffers() noexcept { buffers_.clear(); }

 private:
  class code_part;
  std::unique_ptr<part> take_part() override;
  codec::output code(std::size_t item) const;

  std::vector<held_buffer> buffers_;
  const std::shared_ptr<const codec::compression> with_;
  const direction direction_;
  const std::size_t limit_;
  const int level_;
  std::vector<codec::output> outputs_;
};

// Copies what a coding put out into bytes objects, by as many threads: one that holds the GIL would have all
// Python threads wait for the memory.
class output_copying final : public item_loop {
 public:
  // Throws MemoryError.
  explicit output_copying(const buffer_coding& from);
  // Once.
  [[nodiscard]] pybind11::list results();

 private:
  class copy_part;
  std::unique_ptr<part> take_part() override;

  const std::vector<codec::output>& outputs_;
  std::vector<py::ref> copies_;
  std::vector<std::byte*> memory_;
};

}  // namespace triga
