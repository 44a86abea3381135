// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "runtime/io/uring.h"

// Pages of this process that each of its forks copies at once for the child, in the place of sharing them
// until one of the two writes to them.
//
// A page that both come to write to costs two exceptions and a copy; one that the fork copies costs the copy,
// a quarter of that. The kernel does so with pages that are pinned, as a device may write to them at any time
// (copy_present_page() in mm/memory.c), and the buffers that were registered with an io_uring are pinned.
// Nothing is ever read or written through that ring.
namespace triga::proc {

// Pages [first, first + count), by number.
struct page_run {
  std::uint64_t first;
  std::uint64_t count;
};

class copied_pages {
 public:
  // What a user may pin is limited for all processes together (RLIMIT_MEMLOCK; without privileges 8 MiB as a
  // rule), so one takes a quarter of that and not more than this.
  static constexpr std::size_t most_pages = 1024;
  static std::size_t limit() noexcept;

  copied_pages() = default;
  copied_pages(const copied_pages&) = delete;
  copied_pages& operator=(const copied_pages&) = delete;
  copied_pages(copied_pages&&) = delete;
  copied_pages& operator=(copied_pages&&) = delete;
  ~copied_pages();

  enum class outcome {
    copied,
    refused,   // by the kernel, which will not change its mind
    unshared,  // see set()
  };

  // These pages, in the place of those that were set before: the runs that fit into the limit, as far as they
  // are private memory that is there.
  //
  // To be called while a child lives that shares them: what is part of a huge page becomes a page of its own
  // then. Otherwise each fork would copy the huge page as a whole. Where that is seen, because the child has
  // ended meanwhile, none is set, and to be tried again beside another child.
  //
  // Ends with the thread that calls. Children do not inherit it.
  outcome set(std::span<const page_run> runs);

 private:
  void drop_inherited() noexcept;

  std::unique_ptr<io::uring> ring_;
  pid_t owner_ = 0;
};

}  // namespace triga::proc
