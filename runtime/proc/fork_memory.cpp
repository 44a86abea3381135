// SPDX-License-Identifier: MIT
#include "runtime/proc/fork_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <vector>

#include "runtime/proc/memory_map.h"
#include "runtime/proc/pagemap.h"

namespace triga::proc {
namespace {

constexpr std::uintptr_t huge_page = std::uintptr_t{2} << 20;
constexpr int collapse_advice = 25;  // MADV_COLLAPSE (6.1), which older headers lack

std::atomic<bool> huge{true};
std::atomic<void*> other_half{nullptr};  // of the last huge page that was begun; its taker owns it

void* map(std::size_t size) noexcept {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

// A huge page's worth of memory at a huge page's address. Twice that much surely contains one.
char* map_huge_page() noexcept {
  auto* const memory = static_cast<char*>(map(2 * huge_page));
  if (memory == nullptr) return nullptr;
  const std::uintptr_t before =
      (huge_page - reinterpret_cast<std::uintptr_t>(memory) % huge_page) % huge_page;
  char* const aligned = memory + before;
  if (before != 0) ::munmap(memory, before);
  ::munmap(aligned + huge_page, huge_page - before);
  ::madvise(aligned, huge_page, MADV_HUGEPAGE);  // refused by kernels without: then the pages are small
  return aligned;
}

// What is larger is a reservation, most of it never touched (a sanitizer's shadow): it would only take time.
constexpr std::uintptr_t largest_heap = std::uintptr_t{256} << 20;

bool is_private_memory(const mapping& each) {
  return each.is_private_data && !each.has_file && each.end - each.start <= largest_heap;
}

// Moves what each of those addresses has behind it, of all that lie at a huge page's.
std::size_t collapse_where(const std::function<bool(std::uintptr_t)>& is_wanted) {
  std::size_t made = 0;
  for (const mapping& each : memory_map()) {
    if (!is_private_memory(each)) continue;
    const std::uintptr_t first = (each.start + huge_page - 1) / huge_page * huge_page;
    for (std::uintptr_t at = first; at + huge_page <= each.end; at += huge_page) {
      if (!is_wanted(at)) continue;
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that the kernel told
      if (::madvise(reinterpret_cast<void*>(at), huge_page, collapse_advice) == 0) ++made;
    }
  }
  return made;
}

}  // namespace

void* map_arena() noexcept {
  if (void* const half = other_half.exchange(nullptr, std::memory_order_acquire)) return half;
  if (!huge.load(std::memory_order_relaxed)) return map(arena_size);
  char* const page = map_huge_page();
  if (page == nullptr) return map(arena_size);
  // Another thread that came here at the same time may have left its half: that one is let go, not lost.
  void* const left = other_half.exchange(page + arena_size, std::memory_order_acq_rel);
  if (left != nullptr) ::munmap(left, arena_size);
  return page;
}

void use_small_pages() noexcept { huge.store(false, std::memory_order_relaxed); }

std::size_t collapse_into_huge_pages() {
  return collapse_where([](std::uintptr_t) { return true; });
}

std::size_t collapse_filled_memory(nanoseconds time) {
  const time_point end = deadline_after(time);
  const pagemap map;
  std::vector<std::uint64_t> entries(huge_page / page_size());
  return collapse_where([&](std::uintptr_t at) {
    if (monotonic_clock::now() >= end || !map.read(at / page_size(), entries)) return false;
    const auto used = static_cast<std::size_t>(std::ranges::count_if(entries, &pagemap::is_private));
    return used >= entries.size() - entries.size() / 8;
  });
}

void consolidate_heap() noexcept {
  // glibc does so in a request that no list of small pieces can serve (malloc/malloc.c, _int_malloc()).
  constexpr std::size_t large = 2048;
  void* volatile const memory = std::malloc(large);
  std::free(memory);
}

}  // namespace triga::proc
