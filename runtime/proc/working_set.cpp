// SPDX-License-Identifier: MIT
#include "runtime/proc/working_set.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/proc/memory_map.h"

namespace triga::proc {

// Pages [first, first + count), by number.
struct page_run {
  std::uint64_t first;
  std::uint64_t count;
};

namespace {

constexpr int populate_write = 23;  // MADV_POPULATE_WRITE (5.14), which older headers lack

// An entry of /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst).
constexpr std::uint64_t exclusive_bit = std::uint64_t{1} << 56;
constexpr std::uint64_t file_bit = std::uint64_t{1} << 61;
constexpr std::uint64_t present_bit = std::uint64_t{1} << 63;

bool is_set(std::uint64_t entry, std::uint64_t bit) noexcept { return (entry & bit) != 0; }

// A page that nobody else has any more was written to since the fork.
bool is_written(std::uint64_t entry) noexcept {
  return is_set(entry, present_bit) && is_set(entry, exclusive_bit) && !is_set(entry, file_bit);
}

// What is larger is a reservation, or the user's own: not what every process has.
constexpr std::size_t largest_mapping = std::size_t{64} << 20;

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

void add(std::vector<page_run>& runs, std::uint64_t page) {
  if (!runs.empty() && runs.back().first + runs.back().count == page) {
    ++runs.back().count;
  } else {
    runs.push_back({.first = page, .count = 1});
  }
}

void add_written(std::vector<page_run>& runs, const mapping& each, int pagemap) {
  std::vector<std::uint64_t> entries((each.end - each.start) / page_size());
  const std::uint64_t first = each.start / page_size();
  const std::size_t size = entries.size() * sizeof entries[0];
  const ssize_t got = ::pread(pagemap, entries.data(), size, static_cast<off_t>(first * sizeof entries[0]));
  if (got != static_cast<ssize_t>(size)) return;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (is_written(entries[i])) add(runs, first + i);
  }
}

std::vector<page_run> written_pages() {
  std::vector<page_run> found;
  const unique_fd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap) return found;
  for (const mapping& each : memory_map()) {
    if (each.rights == "rw-p" && each.end - each.start <= largest_mapping) {
      add_written(found, each, pagemap.get());
    }
  }
  return found;
}

}  // namespace

struct working_set::list {
  static constexpr std::size_t room = 1023;  // with the head, four pages of 4 KiB

  enum state : std::uint32_t { unknown, being_written, known };

  std::atomic<std::uint32_t> is{unknown};
  std::atomic<std::uint32_t> size{0};
  std::array<page_run, room> runs{};
};

void working_set::unmap::operator()(list* memory) const noexcept { ::munmap(memory, sizeof(list)); }

working_set::working_set() noexcept {
  void* const memory =
      ::mmap(nullptr, sizeof(list), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) list_.reset(new (memory) list);
}

bool working_set::learn() {
  std::uint32_t expected = list::unknown;
  if (!list_ || !list_->is.compare_exchange_strong(expected, list::being_written)) return false;
  const std::vector<page_run> found = written_pages();
  const std::size_t size = std::min(found.size(), list::room);
  std::copy_n(found.begin(), size, list_->runs.begin());
  list_->size = static_cast<std::uint32_t>(size);
  list_->is = list::known;
  return true;
}

std::size_t working_set::populate() const noexcept {
  if (!list_ || list_->is != list::known) return 0;
  std::size_t asked = 0;
  const std::size_t size = std::min<std::size_t>(list_->size, list::room);
  for (std::size_t i = 0; i < size; ++i) {
    const page_run run = list_->runs[i];
    if (run.count > most_pages - asked) continue;
    asked += run.count;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that another process told; the kernel refuses a
    // wrong one
    ::madvise(reinterpret_cast<void*>(run.first * page_size()), run.count * page_size(), populate_write);
  }
  return asked;
}

}  // namespace triga::proc
