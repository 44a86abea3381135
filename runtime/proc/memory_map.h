// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/base/unique_fd.h"

namespace triga::proc {

// One line of /proc/self/maps: addresses [start, end).
struct mapping {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  bool is_private_data = false;  // rw-p: what is written to it stays in this process
  bool has_file = false;         // behind it
};

// The lines one after the other, without any request for memory: for a process that wants to know which of
// its pages it has written to, and must not write to more of them by asking.
class memory_map_reader {
 public:
  // The room is used meanwhile. A line that is longer ends the reading; 8 KiB have room for each.
  explicit memory_map_reader(std::span<char> room) noexcept;

  // Null after the last, and where /proc is not mounted.
  const mapping* next() noexcept;

 private:
  bool read_more() noexcept;

  unique_fd file_;
  std::span<char> room_;
  std::string_view unread_;  // part of it
  mapping current_;
};

// What this process has mapped, in order of address; empty where /proc is not mounted.
std::vector<mapping> memory_map();

}  // namespace triga::proc
