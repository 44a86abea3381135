// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "runtime/codec/output.h"

namespace triga::codec {

// What could not be compressed or decompressed, in the words of the library that refused it.
class codec_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One of the system's compression libraries. Any number of threads may use it at once.
class compression {
 public:
  compression() = default;
  compression(const compression&) = delete;
  compression& operator=(const compression&) = delete;
  compression(compression&&) = delete;
  compression& operator=(compression&&) = delete;
  virtual ~compression() = default;

  // The levels that compress() takes, and the library's own choice among them.
  struct levels {
    int least;
    int greatest;
    int usual;
  };
  [[nodiscard]] virtual levels level_range() const noexcept = 0;

  // Throws codec_error and std::bad_alloc.
  virtual output compress(std::span<const std::byte> data, int level) const = 0;
  // Throws codec_error for what is no complete compressed text, or goes on behind its end; `most`: or is
  // larger than so many bytes.
  virtual output decompress(std::span<const std::byte> data, std::size_t most) const = 0;
};

// "zlib" (decompresses gzip's format, too) or "zstd". Throws library_missing, and std::invalid_argument for
// another name.
std::unique_ptr<compression> find_compression(const std::string& name);

std::unique_ptr<compression> find_zlib();
std::unique_ptr<compression> find_zstd();

}  // namespace triga::codec
