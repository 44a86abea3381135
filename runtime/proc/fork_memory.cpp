// SPDX-License-Identifier: MIT
#include "runtime/proc/fork_memory.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <ios>
#include <sstream>
#include <string>

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

// One line of /proc/self/maps, "start-end rwxp offset device inode path".
struct mapping {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  std::string rights;
  std::string inode;
};

mapping parse(const std::string& line) {
  mapping found;
  std::istringstream words(line);
  std::string offset;
  std::string device;
  char dash = 0;
  words >> std::hex >> found.start >> dash >> found.end >> found.rights >> offset >> device >> found.inode;
  return found;
}

// What is larger is a reservation, most of it never touched (a sanitizer's shadow): it would only take time.
constexpr std::uintptr_t largest_heap = std::uintptr_t{256} << 20;

bool is_private_memory(const mapping& each) {
  return each.rights == "rw-p" && each.inode == "0" && each.end - each.start <= largest_heap;
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
  std::size_t made = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const mapping each = parse(line);
    if (!is_private_memory(each)) continue;
    const std::uintptr_t first = (each.start + huge_page - 1) / huge_page * huge_page;
    for (std::uintptr_t at = first; at + huge_page <= each.end; at += huge_page) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that the kernel told
      if (::madvise(reinterpret_cast<void*>(at), huge_page, collapse_advice) == 0) ++made;
    }
  }
  return made;
}

}  // namespace triga::proc
