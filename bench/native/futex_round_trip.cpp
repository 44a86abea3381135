// SPDX-License-Identifier: MIT
// The price of a wake: two threads, or two processes, pass a futex to and fro, sleeping or spinning.
//
//   futex_round_trip threads|processes sleep|spin COUNT
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <new>
#include <string_view>
#include <thread>

#include "common.h"

namespace {

struct shared {
  std::atomic<std::uint32_t> ping{0};
  alignas(64) std::atomic<std::uint32_t> pong{0};
};

void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t value, bool sleeping) {
  for (std::uint32_t seen = word.load(std::memory_order_acquire); seen != value;
       seen = word.load(std::memory_order_acquire)) {
    // Both sides may share one CPU: a spinner that never yields would wait for its own time slice to end.
    if (!sleeping)
      sched_yield();
    else
      syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
  }
}

void tell(std::atomic<std::uint32_t>& word, std::uint32_t value, bool sleeping) {
  word.store(value, std::memory_order_release);
  if (sleeping) syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

void answer(shared& both, std::uint32_t count, bool sleeping) {
  for (std::uint32_t turn = 1; turn <= count; ++turn) {
    wait_for(both.ping, turn, sleeping);
    tell(both.pong, turn, sleeping);
  }
}

void ask(shared& both, std::uint32_t count, bool sleeping) {
  for (std::uint32_t turn = 1; turn <= count; ++turn) {
    tell(both.ping, turn, sleeping);
    wait_for(both.pong, turn, sleeping);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: futex_round_trip threads|processes sleep|spin COUNT\n", stderr), 2;
  const bool threads = std::string_view(argv[1]) == "threads",
             sleeping = std::string_view(argv[2]) == "sleep";
  const auto count = static_cast<std::uint32_t>(std::atoi(argv[3]));
  void* memory =
      check(mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), "mmap");
  auto& both = *new (memory) shared;
  const std::int64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  if (threads) {
    std::thread other([&] { answer(both, count, sleeping); });
    ask(both, count, sleeping);
    other.join();
    print_result(count, nanoseconds(CLOCK_MONOTONIC) - wall, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return 0;
  }
  const pid_t child = check(fork(), "fork");
  if (child == 0) {
    answer(both, count, sleeping);
    _exit(0);
  }
  ask(both, count, sleeping);
  const std::int64_t seconds = nanoseconds(CLOCK_MONOTONIC) - wall;
  waitpid(child, nullptr, 0);
  // The child's share is taken as ours: the two do the same.
  print_result(count, seconds, 2 * (nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu));
}
