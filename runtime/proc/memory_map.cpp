// SPDX-License-Identifier: MIT
#include "runtime/proc/memory_map.h"

#include <fstream>
#include <ios>
#include <sstream>

namespace triga::proc {
namespace {

// "start-end rwxp offset device inode path"
mapping parse_mapping(const std::string& line) {
  mapping found;
  std::istringstream words(line);
  std::string offset;
  std::string device;
  char dash = 0;
  words >> std::hex >> found.start >> dash >> found.end >> found.rights >> offset >> device >> found.inode;
  return found;
}

}  // namespace

std::vector<mapping> memory_map() {
  std::vector<mapping> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) found.push_back(parse_mapping(line));
  return found;
}

}  // namespace triga::proc
