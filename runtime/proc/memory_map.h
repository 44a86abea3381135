// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace triga::proc {

// One line of /proc/self/maps: addresses [start, end).
struct mapping {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  std::string rights;  // "rwxp", with dashes for what is not allowed
  std::string inode;   // "0" where no file stands behind it
};

// What this process has mapped, in order of address; empty where /proc is not mounted.
std::vector<mapping> memory_map();

}  // namespace triga::proc
