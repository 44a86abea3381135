// SPDX-License-Identifier: MIT
// What a load cost the server, from /proc.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "common.h"

struct server_usage {
  std::int64_t cpu_ns = 0;      // of all its threads, exact
  std::int64_t user_ticks = 0;  // for the share of user time only
  std::int64_t system_ticks = 0;
  std::int64_t resident = 0;  // bytes
};

inline std::int64_t cpu_of_threads(const std::string& process) {
  std::int64_t sum = 0;
  DIR* const tasks = opendir((process + "/task").c_str());
  if (tasks == nullptr) fail("the server's /proc entry");
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    long long ran = 0;
    std::FILE* const file = std::fopen((process + "/task/" + entry->d_name + "/schedstat").c_str(), "r");
    if (file == nullptr) continue;
    if (std::fscanf(file, "%lld", &ran) == 1) sum += ran;
    std::fclose(file);
  }
  closedir(tasks);
  return sum;
}

inline server_usage usage_of(int pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  server_usage usage;
  usage.cpu_ns = cpu_of_threads(process);
  std::array<char, 1024> line{};
  std::FILE* const file = std::fopen((process + "/stat").c_str(), "r");
  if (file == nullptr || std::fgets(line.data(), line.size(), file) == nullptr)
    fail("the server's /proc entry");
  std::fclose(file);
  long long user = 0, system = 0, pages = 0;
  std::sscanf(std::strrchr(line.data(), ')') + 2,
              "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld %*d %*d %*d %*d %*d %*d %*u %*u %lld",
              &user, &system, &pages);
  usage.user_ticks = user;
  usage.system_ticks = system;
  usage.resident = pages * sysconf(_SC_PAGESIZE);
  return usage;
}

// The line that bench reads: the fields of bench/programs/meter.py, "cpu" being the server's, and more.
inline void print_load(int counted, std::int64_t wall, const server_usage& before, const server_usage& after,
                       std::vector<std::int64_t>& latencies) {
  const auto user = after.user_ticks - before.user_ticks, system = after.system_ticks - before.system_ticks;
  const double user_share =
      user + system > 0 ? static_cast<double>(user) / static_cast<double>(user + system) : 0;
  std::sort(latencies.begin(), latencies.end());
  const auto at = [&](std::size_t per_cent) { return latencies[latencies.size() * per_cent / 100]; };
  std::printf(
      "{\"operations\": %d, \"seconds\": %.9f, \"cpu\": %.9f, \"user_share\": %.3f, \"p50_us\": %.1f, "
      "\"p99_us\": %.1f}\n",
      counted, static_cast<double>(wall) / 1e9, static_cast<double>(after.cpu_ns - before.cpu_ns) / 1e9,
      user_share, static_cast<double>(at(50)) / 1e3, static_cast<double>(at(99)) / 1e3);
}
