// SPDX-License-Identifier: MIT
#include "runtime/proc/fork_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace triga::proc {
namespace {

constexpr std::uintptr_t huge_page = std::uintptr_t{2} << 20;

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

struct arena {
  char* memory = static_cast<char*>(map_arena());
  arena() = default;
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  arena(arena&&) = delete;
  arena& operator=(arena&&) = delete;
  ~arena() { ::munmap(memory, arena_size); }
};

TEST(ForkMemory, TwoArenasAreTheHalvesOfOneHugePage) {
  const arena first;
  const arena second;
  // The half that is left of an earlier test may be the first of the two.
  const arena third;
  const bool halves = number(second.memory) == number(first.memory) + arena_size ||
                      number(third.memory) == number(second.memory) + arena_size;
  EXPECT_TRUE(halves);
  EXPECT_EQ(number(std::min(second.memory, third.memory)) % arena_size, 0U);
}

TEST(ForkMemory, AnArenaIsZeroedAndOneThatWasGivenBackDoesNotTouchItsOtherHalf) {
  const arena kept;
  kept.memory[0] = 'k';
  {
    const arena given_back;
    EXPECT_TRUE(
        std::all_of(given_back.memory, given_back.memory + arena_size, [](char c) { return c == 0; }));
    given_back.memory[arena_size - 1] = 'g';
  }
  EXPECT_EQ(kept.memory[0], 'k');
  kept.memory[arena_size - 1] = 'e';
}

TEST(ForkMemory, ThreadsThatAskAtOnceGetArenasOfTheirOwn) {
  constexpr int threads = 4;
  constexpr int each = 16;
  std::mutex mutex;
  std::set<std::uintptr_t> seen;
  std::vector<std::thread> askers;
  for (int i = 0; i < threads; ++i) {
    askers.emplace_back([&] {
      for (int k = 0; k < each; ++k) {
        auto* const memory = static_cast<char*>(map_arena());
        memory[0] = memory[arena_size - 1] = 'x';
        const std::lock_guard lock(mutex);
        seen.insert(number(memory));
      }
    });
  }
  for (std::thread& thread : askers) thread.join();
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(threads * each));
  for (const std::uintptr_t start : seen) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): what was a pointer above
    EXPECT_EQ(::munmap(reinterpret_cast<void*>(start), arena_size), 0);
  }
}

TEST(ForkMemory, AForkedProcessGoesOnWithSmallPages) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    use_small_pages();
    const arena half;  // what may be left of the parent's
    const arena small;
    small.memory[0] = 'c';
    const arena next;
    _exit(next.memory != nullptr && next.memory[0] == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ForkMemory, CollapsingKeepsWhatTheMemoryHolds) {
  constexpr std::size_t size = 3 * huge_page;
  auto* const memory = static_cast<unsigned char*>(
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  for (std::size_t at = 0; at < size; at += 4096) memory[at] = static_cast<unsigned char>(at >> 12);
  collapse_into_huge_pages();
  for (std::size_t at = 0; at < size; at += 4096) ASSERT_EQ(memory[at], static_cast<unsigned char>(at >> 12));
  ::munmap(memory, size);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose malloc is another
TEST(ForkMemory, AChildOfAConsolidatedHeapDoesNotCopyPagesForWhatWasFreedBefore) {
  // Small pieces on many pages, of a size that no per-thread cache keeps more than a few of.
  constexpr std::size_t count = 20'000;
  std::vector<std::unique_ptr<char[]>> pieces(count);
  for (auto& each : pieces) each = std::make_unique<char[]>(100);
  for (std::size_t i = 0; i < count; i += 2) pieces[i].reset();
  consolidate_heap();
  const pid_t pid = ::fork();
  if (pid == 0) {
    rusage before{};
    rusage after{};
    ::getrusage(RUSAGE_SELF, &before);
    consolidate_heap();
    ::getrusage(RUSAGE_SELF, &after);
    ::_exit(after.ru_minflt - before.ru_minflt < 20 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
}
#endif

}  // namespace
}  // namespace triga::proc
