// SPDX-License-Identifier: MIT
#include "runtime/proc/copied_pages.h"

#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "runtime/proc/pagemap.h"

namespace triga::proc {
namespace {

iovec bytes_of(std::uint64_t first_page, std::size_t count) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that another process told; the kernel refuses a
  // wrong one
  return {.iov_base = reinterpret_cast<void*>(first_page * page_size()), .iov_len = count * page_size()};
}

// The parts of the run that are private memory and there. Others would be made, or be a file's, which cannot
// be pinned.
void add_private(std::vector<iovec>& found, const pagemap& map, const page_run& run) {
  std::vector<std::uint64_t> entries(run.count);
  if (!map.read(run.first, entries)) return;
  for (auto at = entries.begin(); at != entries.end();) {
    const auto begin = std::find_if(at, entries.end(), &pagemap::is_private);
    at = std::find_if_not(begin, entries.end(), &pagemap::is_private);
    if (begin != at) {
      const auto before = static_cast<std::uint64_t>(begin - entries.begin());
      found.push_back(bytes_of(run.first + before, static_cast<std::size_t>(at - begin)));
    }
  }
}

}  // namespace

std::size_t copied_pages::limit() noexcept {
  rlimit locked{};
  if (::getrlimit(RLIMIT_MEMLOCK, &locked) != 0 || locked.rlim_cur == RLIM_INFINITY) return most_pages;
  return std::min<std::size_t>(most_pages, locked.rlim_cur / 4 / page_size());
}

void copied_pages::drop_inherited() noexcept {
  if (ring_ == nullptr || owner_ == ::getpid()) return;
  ring_->disown();  // it is the parent's: its number may be that of another here
  ring_.reset();
}

copied_pages::~copied_pages() {
  drop_inherited();
  // The kernel takes a ring down after it was asked to, some time; the next fork may not be that late.
  if (ring_ != nullptr) static_cast<void>(ring_->register_buffers({}));
}

bool copied_pages::set(std::span<const page_run> runs) {
  drop_inherited();
  if (ring_ == nullptr || !ring_->made_here())
    ring_ = io::uring::make({.entries = 1, .without_descriptor = true});
  if (ring_ == nullptr) return false;
  owner_ = ::getpid();
  std::vector<iovec> pieces;
  const pagemap map;
  std::size_t left = limit();
  for (const page_run& each : runs) {
    if (each.count > left) continue;
    left -= each.count;
    add_private(pieces, map, each);
  }
  return ring_->register_buffers(pieces);
}

}  // namespace triga::proc
