// SPDX-License-Identifier: MIT
#include "runtime/files/read.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/unique_fd.h"

namespace triga::files {
namespace {

// O_NOCTTY, and no more than reading: opening must have no effect on the process or the file.
result<unique_fd> open_to_read(const std::string& path) noexcept {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return result<unique_fd>::last_error();
  return unique_fd(fd);
}

// Once into the block, however often signals interrupt. 0: the end.
result<std::size_t> read_some(const unique_fd& file, std::span<std::byte> block) noexcept {
  for (;;) {
    const ssize_t count = ::read(file.get(), block.data(), block.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return result<std::size_t>::last_error();
  }
}

}  // namespace

result<std::size_t> size_of(const std::string& path) noexcept {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return result<std::size_t>::last_error();
  return S_ISREG(about.st_mode) ? static_cast<std::size_t>(about.st_size) : std::size_t{0};
}

result<std::size_t> read_file(const std::string& path, std::span<std::byte> memory,
                              std::vector<std::byte>& rest, const stop_check& stop) {
  auto file = open_to_read(path);
  if (!file) return result<std::size_t>::failure(file.error());
  constexpr std::size_t part = 4 << 20;  // between two looks at `stop`
  std::size_t filled = 0;
  while (filled < memory.size()) {
    if (stop()) return result<std::size_t>::failure(ECANCELED);
    const auto count = read_some(*file, memory.subspan(filled, std::min(part, memory.size() - filled)));
    if (!count) return count;
    if (*count == 0) return filled;
    filled += *count;
  }
  for (;;) {
    if (stop()) return result<std::size_t>::failure(ECANCELED);
    std::byte block[4096];
    const auto count = read_some(*file, block);
    if (!count) return count;
    if (*count == 0) return filled;
    rest.insert(rest.end(), block, block + *count);
  }
}

result<std::size_t> hash_file(const std::string& path, codec::digest& hash, std::span<std::byte> block,
                              const stop_check& stop) noexcept {
  auto file = open_to_read(path);
  if (!file) return result<std::size_t>::failure(file.error());
  for (std::size_t total = 0;;) {
    if (stop()) return result<std::size_t>::failure(ECANCELED);
    const auto count = read_some(*file, block);
    if (!count) return count;
    if (*count == 0) return total;
    if (!hash.update(block.first(*count))) return result<std::size_t>::failure(EACCES);
    total += *count;
  }
}

}  // namespace triga::files
