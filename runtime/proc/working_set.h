// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "runtime/proc/copied_pages.h"

// Which pages a forked process comes to write to, so that the next ones own them before they run.
//
// Most of a short process's time goes into its first writes to pages that it shares with the process that it
// is a copy of: the kernel copies each when it is written to. What one process has written to, the next will
// write to for the most part: the interpreter's state, the counts and caches of the standard library's
// objects. So the first process that ends leaves the list in memory that all of them share. From then on a
// clone that waits in reserve has the kernel make its copies then, when nobody waits for it; and a program
// that forks has the fork make them (copied_pages.h).
//
// The list is a hint. Any process can spoil it, as all run the user's work: a spoilt one costs memory and
// time, within the bounds of copied_pages and below, and nothing else.
namespace triga::proc {

class working_set {
 public:
  // Of how many pages a clone makes copies, at most.
  static constexpr std::size_t most_pages = 2048;

  // Shared with all processes that are forked from now on. Where there is no memory, nothing is ever learned.
  working_set() noexcept;

  // In a process that is about to end: notes which pages are its own. The first to come does it, for all;
  // returns whether this was the one.
  bool learn();

  // In the process that is forked, while a child of its lives: has each later fork copy those pages at once,
  // as far as that is allowed. Returns whether it will; nullopt while nothing is known, or if the child has
  // ended meanwhile (some times in turn: then not).
  std::optional<bool> copy_at_fork();

  // In a fresh clone: makes those pages its own. Returns how many it asked the kernel for.
  std::size_t populate() const noexcept;

 private:
  struct list;
  struct unmap {
    void operator()(list* memory) const noexcept;
  };

  std::unique_ptr<list, unmap> list_;
  copied_pages copied_;
  int tries_left_ = 3;
};

}  // namespace triga::proc
