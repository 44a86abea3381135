// SPDX-License-Identifier: MIT
// What the kernel asks for a start and an end: pthread create + join, fork + wait, posix_spawn of /bin/true +
// wait.
//
//   starts pthread|fork|posix_spawn COUNT
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

#include "common.h"

namespace {

void start_thread() {
  pthread_t thread{};
  if (pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr) != 0)
    fail("pthread_create");
  pthread_join(thread, nullptr);
}

void start_fork() {
  const pid_t child = check(fork(), "fork");
  if (child == 0) _exit(0);
  check(waitpid(child, nullptr, 0), "waitpid");
}

void start_spawn() {
  char path[] = "/bin/true";
  char* const arguments[] = {path, nullptr};
  pid_t child = 0;
  if ((errno = posix_spawn(&child, path, nullptr, nullptr, arguments, environ)) != 0) fail("posix_spawn");
  check(waitpid(child, nullptr, 0), "waitpid");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: starts pthread|fork|posix_spawn COUNT\n", stderr), 2;
  const std::string_view kind = argv[1];
  const int count = std::atoi(argv[2]);
  void (*const start)() = kind == "pthread" ? start_thread : kind == "fork" ? start_fork : start_spawn;
  const std::int64_t wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < count; ++i) start();
  print_result(count, nanoseconds(CLOCK_MONOTONIC) - wall,
               nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu + children_cpu());
}
