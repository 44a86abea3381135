// SPDX-License-Identifier: MIT
// What moving 64 MiB to another process and back must cost, through pages that both share already: in place,
// one copy a way; into an object of the receiver's own, two, the second one into fresh pages (huge ones, if
// the kernel gives them).
//
//   memory_copy in_place|objects COUNT
#include <sys/mman.h>

#include "common.h"

namespace {

constexpr std::size_t size = std::size_t{64} << 20;

void* fresh_pages() {
  void* pages =
      check(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "mmap");
  madvise(pages, size, MADV_HUGEPAGE);
  return pages;
}

// One way: the sender's object into shared pages that both hold already, then into the receiver's new object.
void* one_way(const void* from, void* shared_pages) {
  std::memcpy(shared_pages, from, size);
  void* object = fresh_pages();
  std::memcpy(object, shared_pages, size);
  return object;
}

void in_place(const void* from, void* shared_pages, void* other_shared_pages) {
  std::memcpy(shared_pages, from, size);
  std::memcpy(other_shared_pages, shared_pages, size);
}

void into_objects(const void* from, void* shared_pages) {
  void* there = one_way(from, shared_pages);
  void* back = one_way(there, shared_pages);
  munmap(there, size);
  munmap(back, size);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: memory_copy in_place|objects COUNT\n", stderr), 2;
  const bool objects = std::strcmp(argv[1], "objects") == 0;
  const int count = std::atoi(argv[2]);
  void* object = fresh_pages();
  std::memset(object, 1, size);
  void* shared_pages = fresh_pages();
  std::memset(shared_pages, 2, size);
  void* other_shared_pages = fresh_pages();
  std::memset(other_shared_pages, 3, size);
  const std::int64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < count; ++i) {
    if (objects) {
      into_objects(object, shared_pages);
    } else {
      in_place(object, shared_pages, other_shared_pages);
    }
  }
  print_result(count, nanoseconds(CLOCK_MONOTONIC) - wall, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}
