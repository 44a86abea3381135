// SPDX-License-Identifier: MIT
#include "runtime/shm/slab.h"

#include <atomic>
#include <cerrno>

namespace triga::shm {
namespace {

// Blocks never share a page: one can be given back while its neighbour is in use.
constexpr std::uint64_t page = 4096;

std::atomic<std::uint64_t> forks{0};

}  // namespace

// Relaxed: a fork and the drop of a block that the child inherits are ordered by the caller's own program.
void note_fork() noexcept { forks.fetch_add(1, std::memory_order_relaxed); }

std::uint64_t forks_noted() noexcept { return forks.load(std::memory_order_relaxed); }

result<block_reference> slab_writer::reserve(std::uint64_t length) noexcept {
  if (length > end_ - next_) return result<block_reference>::failure(ENOSPC);
  const block_reference where{next_, length};
  const std::uint64_t room = end_ - next_;
  const std::uint64_t rounded = (length + page - 1) / page * page;
  next_ += rounded < room ? rounded : room;
  return where;
}

bool lies_within(block_reference where, std::uint64_t begin, std::uint64_t end) noexcept {
  return where.offset >= begin && where.offset <= end && where.length != 0 &&
         where.length <= end - where.offset;
}

}  // namespace triga::shm
