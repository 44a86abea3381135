// SPDX-License-Identifier: MIT
#include "runtime/proc/fork_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "runtime/proc/pagemap.h"

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
  askers.reserve(threads);
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

// Three huge pages' worth of memory, of which the first `used` small pages of each are in use.
class spread_memory {
 public:
  explicit spread_memory(std::size_t used)
      : used_(used),
        begin_(static_cast<unsigned char*>(
            ::mmap(nullptr, 4 * huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        first_((number(begin_) + huge_page - 1) / huge_page * huge_page - number(begin_)) {
    ::madvise(begin_, 4 * huge_page, MADV_NOHUGEPAGE);
    each([](unsigned char& byte, std::size_t page) { byte = static_cast<unsigned char>(page); });
    ::madvise(begin_, 4 * huge_page, MADV_HUGEPAGE);
  }
  spread_memory(const spread_memory&) = delete;
  spread_memory& operator=(const spread_memory&) = delete;
  spread_memory(spread_memory&&) = delete;
  spread_memory& operator=(spread_memory&&) = delete;
  ~spread_memory() { ::munmap(begin_, 4 * huge_page); }

  [[nodiscard]] bool is_unchanged() const {
    bool same = true;
    each([&](const unsigned char& byte, std::size_t page) {
      same &= byte == static_cast<unsigned char>(page);
    });
    return same;
  }

  // How many small pages are there.
  [[nodiscard]] std::size_t size() const {
    std::vector<unsigned char> there(3 * huge_page / page_size());
    ::mincore(begin_ + first_, 3 * huge_page, there.data());
    return static_cast<std::size_t>(
        std::ranges::count_if(there, [](unsigned char each) { return each & 1; }));
  }

 private:
  template <class Use>
  void each(Use use) const {
    for (std::size_t piece = 0; piece < 3; ++piece) {
      for (std::size_t page = 0; page < used_; ++page)
        use(begin_[first_ + piece * huge_page + page * page_size()], page);
    }
  }

  std::size_t used_;
  unsigned char* begin_;
  std::size_t first_;
};

TEST(ForkMemory, CollapsingKeepsWhatTheMemoryHolds) {
  const spread_memory filled(huge_page / page_size());
  collapse_into_huge_pages();
  EXPECT_TRUE(filled.is_unchanged());
}

TEST(ForkMemory, AProgramsMemoryIsCollapsedWhereItIsFilledAndDoesNotGrowElsewhere) {
  constexpr nanoseconds minute = std::chrono::minutes(1);
  const std::size_t half = huge_page / page_size() / 2;
  const spread_memory sparse(half);
  const spread_memory filled(2 * half - 10);
  const std::size_t before = filled.size();
  if (collapse_filled_memory(minute) == 0) GTEST_SKIP() << "this kernel makes no huge pages";
  EXPECT_TRUE(filled.is_unchanged());
  EXPECT_TRUE(sparse.is_unchanged());
  EXPECT_EQ(before, 3 * (2 * half - 10));
  EXPECT_EQ(filled.size(), 3 * 2 * half) << "of huge pages, all of which is there";
  EXPECT_EQ(sparse.size(), 3 * half);
}

TEST(ForkMemory, NothingIsCollapsedWhenItsTimeIsOver) {
  const spread_memory filled(huge_page / page_size());
  EXPECT_EQ(collapse_filled_memory(nanoseconds::zero()), 0U);
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
