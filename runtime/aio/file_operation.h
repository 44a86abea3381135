// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace triga::aio {

enum class verb : std::uint8_t { open, read, write, sync, size, truncate, close };

// One operation on a file, and all that the kernel may touch until it is done.
class file_operation {
 public:
  file_operation(const file_operation&) = delete;
  file_operation& operator=(const file_operation&) = delete;
  file_operation(file_operation&&) = delete;
  file_operation& operator=(file_operation&&) = delete;

  // In the loop's thread, once; the operation is its owner's again. What the system call returned (a
  // descriptor, bytes, a size, 0), or -errno; -ECANCELED if it was cancelled in time.
  virtual void on_done(std::int64_t result) = 0;

  verb what = verb::read;
  int fd = -1;
  std::string path;      // open
  int flags = 0;         // open
  mode_t mode = 0;       // open
  void* data = nullptr;  // read, write
  std::size_t size = 0;  // read, write
  off_t offset = 0;      // read, write: -1 is the descriptor's own position; truncate: the new size
  struct statx about{};  // size

 protected:
  file_operation() = default;
  ~file_operation() = default;
};

// Does the operation by system calls, in the calling thread. As on_done()'s result.
std::int64_t perform(file_operation& operation) noexcept;

// What on_done() is told of a system call that returned `value`.
[[nodiscard]] std::int64_t outcome_of(const file_operation& operation, std::int64_t value) noexcept;

}  // namespace triga::aio
