// SPDX-License-Identifier: MIT
#include "runtime/proc/copied_pages.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <vector>

#include "runtime/base/unique_fd.h"
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

std::size_t size_of(std::span<const iovec> pieces) {
  std::size_t size = 0;
  for (const iovec& each : pieces) size += each.iov_len;
  return size;
}

// How much memory of this process is pinned, by its count, in which one page of a huge one is all of that. 0
// if it cannot be had.
std::size_t pinned_memory() {
  const unique_fd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text{};
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  const std::string_view status(text.data(), size < 0 ? 0 : static_cast<std::size_t>(size));
  constexpr std::string_view name = "\nVmPin:";
  const std::size_t at = status.find(name);
  if (at == std::string_view::npos) return 0;
  const std::string_view value = status.substr(at + name.size());
  const std::size_t first = std::min(value.find_first_not_of(" \t"), value.size());
  std::size_t kibibytes = 0;
  std::from_chars(value.data() + first, value.data() + value.size(), kibibytes);
  return kibibytes * 1024;
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

copied_pages::outcome copied_pages::set(std::span<const page_run> runs) {
  drop_inherited();
  if (ring_ == nullptr || !ring_->made_here())
    ring_ = io::uring::make({.entries = 1, .without_descriptor = true});
  if (ring_ == nullptr) return outcome::refused;
  owner_ = ::getpid();
  std::vector<iovec> pieces;
  const pagemap map;
  std::size_t left = limit();
  for (const page_run& each : runs) {
    if (each.count > left) continue;
    left -= each.count;
    add_private(pieces, map, each);
  }
  ring_->register_buffers({});
  const std::size_t before = pinned_memory();
  if (!ring_->register_buffers(pieces)) return outcome::unshared;  // a huge page may be more than is allowed
  if (pinned_memory() - before <= size_of(pieces)) return outcome::copied;
  ring_->register_buffers({});
  return outcome::unshared;
}

}  // namespace triga::proc
