// SPDX-License-Identifier: MIT
#include "runtime/proc/pagemap.h"

#include <fcntl.h>
#include <unistd.h>

namespace triga::proc {

pagemap::pagemap() noexcept : file_(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {}

bool pagemap::read(std::uint64_t first_page, std::span<std::uint64_t> entries) const noexcept {
  if (!file_) return false;
  const auto start = static_cast<off_t>(first_page * sizeof(std::uint64_t));
  const ssize_t got = ::pread(file_.get(), entries.data(), entries.size_bytes(), start);
  return got == static_cast<ssize_t>(entries.size_bytes());
}

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace triga::proc
