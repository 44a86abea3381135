// SPDX-License-Identifier: MIT
// What the benchmark's small programs share: a clock, failing loudly, and the result line.
#pragma once

#include <sys/resource.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

inline std::int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// The CPU time of the children that were waited for.
inline std::int64_t children_cpu() {
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * std::int64_t{1'000'000'000} +
         (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * std::int64_t{1'000};
}

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

// Ends the program if a system call returned -1.
template <typename Result>
Result check(Result result, const char* what) {
  if (result == static_cast<Result>(-1)) fail(what);
  return result;
}

// The same for mmap().
inline void* check(void* memory, const char* what) {
  // Compared as a number: MAP_FAILED is a C cast.
  if (reinterpret_cast<std::intptr_t>(memory) == -1) fail(what);
  return memory;
}

// The line that bench reads: as bench/programs/meter.py prints it.
inline void print_result(std::int64_t operations, std::int64_t wall_ns, std::int64_t cpu_ns) {
  std::printf("{\"operations\": %lld, \"seconds\": %.9f, \"cpu\": %.9f}\n",
              static_cast<long long>(operations), static_cast<double>(wall_ns) / 1e9,
              static_cast<double>(cpu_ns) / 1e9);
}
