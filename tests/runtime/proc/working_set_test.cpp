// SPDX-License-Identifier: MIT
#include "runtime/proc/working_set.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <functional>

namespace triga::proc {
namespace {

constexpr std::size_t pages = 2 * working_set::most_pages;

std::size_t page_size() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

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

 private:
  static std::size_t size() { return pages * page_size(); }
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

}  // namespace
}  // namespace triga::proc
