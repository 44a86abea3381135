// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/codec/digest.h"

namespace triga::files {

// Whole files, read by the calling thread with plain read(2): the page cache hands out a file at the speed of
// memory, and a disc's own queue is kept filled by several threads that do this.
//
// The functions ask `stop` between blocks, and fail with ECANCELED once it says so.
using stop_check = std::function<bool()>;

// How many bytes a file has by stat(2); 0 for what has no size (a pipe, a file of /proc).
result<std::size_t> size_of(const std::string& path) noexcept;

// Reads the file into `memory`; what does not fit, because the file is longer than its size said, is appended
// to `rest`. Returns how much of `memory` was filled.
result<std::size_t> read_file(const std::string& path, std::span<std::byte> memory,
                              std::vector<std::byte>& rest, const stop_check& stop);

// Feeds the file to a digest that start() was called for, a block at a time, through `block`. EACCES where
// the digest refuses. Returns the number of bytes.
result<std::size_t> hash_file(const std::string& path, codec::digest& hash, std::span<std::byte> block,
                              const stop_check& stop) noexcept;

// A good size for a block: it stays in the processor's cache from read(2) to the digest.
inline constexpr std::size_t block_size = 256 << 10;

}  // namespace triga::files
