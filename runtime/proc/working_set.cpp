// SPDX-License-Identifier: MIT
#include "runtime/proc/working_set.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "runtime/proc/memory_map.h"
#include "runtime/proc/pagemap.h"

namespace triga::proc {

namespace {

constexpr int populate_write = 23;  // MADV_POPULATE_WRITE (5.14), which older headers lack

// What is larger is a reservation, or the user's own: not what every process has.
constexpr std::size_t largest_mapping = std::size_t{64} << 20;

// A process that asks which pages it has written to must not write to further ones by asking: its heap is
// left alone.
struct scratch {
  std::array<char, 8192> map;
  std::array<std::uint64_t, 4096> entries;

  static void unmap(scratch* memory) noexcept { ::munmap(memory, sizeof(scratch)); }
};

std::unique_ptr<scratch, decltype(&scratch::unmap)> map_scratch() noexcept {
  void* const memory =
      ::mmap(nullptr, sizeof(scratch), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return {memory == MAP_FAILED ? nullptr : static_cast<scratch*>(memory), &scratch::unmap};
}

}  // namespace

struct working_set::list {
  static constexpr std::size_t room = 1023;  // with the head, four pages of 4 KiB

  enum state : std::uint32_t { unknown, being_written, known };

  std::atomic<std::uint32_t> is{unknown};
  std::atomic<std::uint32_t> size{0};
  std::array<page_run, room> runs{};

  [[nodiscard]] std::span<const page_run> known_runs() const noexcept {
    return std::span(runs).first(std::min<std::size_t>(size, room));
  }

  void add(std::uint64_t page) noexcept {
    const std::uint32_t last = size - 1;
    if (size != 0 && runs[last].first + runs[last].count == page) {
      ++runs[last].count;
    } else if (size != room) {
      runs[size] = {.first = page, .count = 1};
      ++size;
    }
  }

  void add_written(const mapping& each, const pagemap& map, std::span<std::uint64_t> entries) noexcept {
    const std::uint64_t end = each.end / page_size();
    for (std::uint64_t first = each.start / page_size(); first < end; first += entries.size()) {
      const auto part = entries.first(std::min<std::size_t>(entries.size(), end - first));
      if (!map.read(first, part)) return;
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (pagemap::is_own(part[i])) add(first + i);
      }
    }
  }

  void add_all_written() noexcept {
    const auto room_for = map_scratch();
    if (room_for == nullptr) return;
    const pagemap map;
    memory_map_reader mappings(room_for->map);
    while (const mapping* each = mappings.next()) {
      if (each->is_private_data && each->end - each->start <= largest_mapping)
        add_written(*each, map, room_for->entries);
    }
  }
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
  list_->add_all_written();
  list_->is = list::known;
  return true;
}

std::optional<bool> working_set::copy_at_fork() {
  if (!list_ || list_->is != list::known) return std::nullopt;
  const auto known = list_->known_runs();
  const std::vector<page_run> runs(known.begin(), known.end());  // once: another process may write to it
  const auto outcome = copied_.set(runs);
  if (outcome == copied_pages::outcome::unshared && --tries_left_ > 0) return std::nullopt;
  return outcome == copied_pages::outcome::copied;
}

std::size_t working_set::populate() const noexcept {
  if (!list_ || list_->is != list::known) return 0;
  std::size_t asked = 0;
  for (const page_run& each : list_->known_runs()) {
    const page_run run = each;  // once: another process may write to it
    if (run.count > most_pages - asked) continue;
    asked += run.count;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that another process told; the kernel refuses a
    // wrong one
    ::madvise(reinterpret_cast<void*>(run.first * page_size()), run.count * page_size(), populate_write);
  }
  return asked;
}

}  // namespace triga::proc
