// SPDX-License-Identifier: MIT
// What moving 64 MiB to another process and back must cost: two copies into fresh pages, two out of them.
//
//   memory_copy COUNT
#include <sys/mman.h>

#include "common.h"

namespace {

constexpr std::size_t size = std::size_t{64} << 20;

void* fresh_pages() {
  return check(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "mmap");
}

// One way: the sender's object into shared pages that both hold already, then into the receiver's new object.
void* one_way(const void* from, void* shared_pages) {
  std::memcpy(shared_pages, from, size);
  void* object = fresh_pages();
  std::memcpy(object, shared_pages, size);
  return object;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: memory_copy COUNT\n", stderr), 2;
  const int count = std::atoi(argv[1]);
  void* object = fresh_pages();
  std::memset(object, 1, size);
  void* shared_pages = fresh_pages();
  std::memset(shared_pages, 2, size);
  const std::int64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < count; ++i) {
    void* there = one_way(object, shared_pages);
    void* back = one_way(there, shared_pages);
    munmap(there, size);
    munmap(back, size);
  }
  print_result(count, nanoseconds(CLOCK_MONOTONIC) - wall, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}
