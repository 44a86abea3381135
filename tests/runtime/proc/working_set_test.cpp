// SPDX-License-Identifier: MIT
#include "runtime/proc/working_set.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <functional>
#include <optional>

#include "runtime/proc/copied_pages.h"
#include "runtime/proc/pagemap.h"

namespace triga::proc {
namespace {

constexpr std::size_t pages = 2 * working_set::most_pages;

long minor_faults() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used.ru_minflt;
}

// Private memory in small pages, each of them there and shared with every child until one writes to it.
class memory {
 public:
  memory()
      : begin_(static_cast<char*>(
            ::mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    ::madvise(begin_, size(), MADV_NOHUGEPAGE);
    write(0, pages);
  }
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;
  memory(memory&&) = delete;
  memory& operator=(memory&&) = delete;
  ~memory() { ::munmap(begin_, size()); }

  // Not instrumented: ThreadSanitizer's own memory would have page faults, too.
  [[gnu::no_sanitize_thread]] void write(std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i)
      static_cast<volatile char*>(begin_)[i * page_size()] = 'w';
  }

  // Whether the process has these pages to itself: then writing to them needs no copies. A few page faults
  // are the test's own.
  bool owns(std::size_t first, std::size_t count) {
    constexpr long few = 5;
    const long before = minor_faults();
    write(first, count);
    const long faults = minor_faults() - before;
    return faults < few;
  }

  [[nodiscard]] char* begin() const { return begin_; }
  static std::size_t size() { return pages * page_size(); }

 private:
  char* begin_;
};

// Runs it in a forked child; returns whether it returned true.
bool in_child(const std::function<bool()>& run) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(run() ? 0 : 1);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(WorkingSet, WhatOneProcessHasWrittenToTheNextHasBeforeItWrites) {
  working_set set;
  memory shared;
  ASSERT_TRUE(in_child([&] {
    shared.write(70, 40);
    return set.learn();
  }));
  EXPECT_TRUE(in_child([&] { return !shared.owns(70, 40); })) << "they are the parent's too";
  EXPECT_TRUE(in_child([&] { return set.populate() >= 40 && shared.owns(70, 40) && !shared.owns(200, 40); }));
}

TEST(WorkingSet, TheFirstToEndIsTheOneThatIsLearnedFrom) {
  working_set set;
  memory shared;
  EXPECT_EQ(set.populate(), 0U);
  ASSERT_TRUE(in_child([&] { return set.learn(); }));
  EXPECT_TRUE(in_child([&] {
    shared.write(50, 20);
    return !set.learn();
  }));
  EXPECT_TRUE(in_child([&] {
    set.populate();
    return !shared.owns(50, 20);
  }));
}

TEST(WorkingSet, AProcessThatWroteToMoreThanTheBoundIsNotFollowed) {
  working_set set;
  memory shared;
  ASSERT_TRUE(in_child([&] {
    shared.write(0, working_set::most_pages + 1);
    return set.learn();
  }));
  EXPECT_TRUE(in_child([&] { return set.populate() <= working_set::most_pages && !shared.owns(9, 20); }));
}

// A child that does nothing until it is ended, as one that waits in reserve.
class waiting_child {
 public:
  waiting_child() : pid_(::fork()) {
    if (pid_ == 0) {
      for (;;) ::pause();
    }
  }
  waiting_child(const waiting_child&) = delete;
  waiting_child& operator=(const waiting_child&) = delete;
  waiting_child(waiting_child&&) = delete;
  waiting_child& operator=(waiting_child&&) = delete;
  ~waiting_child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

// As above, in huge pages where the machine gives them. With a copy of a whole one the child would own
// others.
// Returns whether it does.
bool lie_in_huge_pages(const memory& shared) {
  constexpr int collapse = 25;  // MADV_COLLAPSE
  ::madvise(shared.begin(), memory::size(), MADV_HUGEPAGE);
  return ::madvise(shared.begin(), memory::size(), collapse) == 0;
}

// Where a user may pin next to nothing, nothing is copied.
bool may_pin_enough() { return copied_pages::limit() >= 64; }

class CopiesAtFork : public testing::TestWithParam<bool> {};

TEST_P(CopiesAtFork, TheNextProcessHasThePagesAndNoOthers) {
  if (!may_pin_enough()) GTEST_SKIP() << "RLIMIT_MEMLOCK is low";
  working_set set;
  memory shared;
  if (GetParam()) lie_in_huge_pages(shared);
  EXPECT_EQ(set.copy_at_fork(), std::nullopt) << "nothing is known yet";
  ASSERT_TRUE(in_child([&] {
    shared.write(70, 40);
    return set.learn();
  }));
  {
    const waiting_child sharer;
    if (!set.copy_at_fork().value_or(false))
      GTEST_SKIP() << "this kernel has no io_uring without a descriptor";
  }
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_TRUE(in_child([&] { return shared.owns(70, 40) && !shared.owns(200, 40); })) << turn;
    shared.write(0, pages);
  }
}

INSTANTIATE_TEST_SUITE_P(WorkingSet, CopiesAtFork, testing::Bool(),
                         [](const auto& each) { return each.param ? "OfHugePages" : "OfSmallPages"; });

TEST(CopiesAtFork, AWholeHugePageIsNotCopiedBecauseItsChildEndedTooEarly) {
  if (!may_pin_enough()) GTEST_SKIP() << "RLIMIT_MEMLOCK is low";
  working_set set;
  memory shared;
  if (!lie_in_huge_pages(shared)) GTEST_SKIP() << "this machine makes no huge pages";
  // In the middle, so that it is surely in one of them.
  constexpr std::size_t middle = pages / 2;
  ASSERT_TRUE(in_child([&] {
    shared.write(middle, 40);
    return set.learn();
  }));
  shared.write(0, pages);
  const auto alone = set.copy_at_fork();
  if (alone == false) GTEST_SKIP() << "this kernel has no io_uring without a descriptor";
  EXPECT_EQ(alone, std::nullopt);
  EXPECT_TRUE(in_child([&] { return !shared.owns(middle, 40) && !shared.owns(middle + 100, 40); }));
  const waiting_child sharer;
  EXPECT_EQ(set.copy_at_fork(), true) << "it is asked again";
  EXPECT_TRUE(in_child([&] { return shared.owns(middle, 40) && !shared.owns(middle + 100, 40); }));
}

TEST(CopiesAtFork, AChildHasNoPartInIt) {
  if (!may_pin_enough()) GTEST_SKIP() << "RLIMIT_MEMLOCK is low";
  working_set set;
  memory shared;
  ASSERT_TRUE(in_child([&] {
    shared.write(70, 40);
    return set.learn();
  }));
  const waiting_child sharer;
  if (!set.copy_at_fork().value_or(false)) GTEST_SKIP() << "this kernel has no io_uring without a descriptor";
  EXPECT_TRUE(in_child([&] {
    if (!in_child([&] { return !shared.owns(70, 40); })) return false;
    const waiting_child grandchild;
    return set.copy_at_fork().value_or(false) && in_child([&] { return shared.owns(70, 40); });
  })) << "it may ask for its own";
  EXPECT_TRUE(in_child([&] { return shared.owns(70, 40); }));
}

TEST(CopiesAtFork, MoreThanTheLimitIsLeftToWrites) {
  working_set set;
  memory shared;
  ASSERT_TRUE(in_child([&] {
    shared.write(0, copied_pages::limit() + 1);
    return set.learn();
  }));
  const waiting_child sharer;
  static_cast<void>(set.copy_at_fork());
  EXPECT_TRUE(in_child([&] { return !shared.owns(0, 40); }));
}

}  // namespace
}  // namespace triga::proc
