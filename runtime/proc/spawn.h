// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/proc/child_process.h"

namespace triga::proc {

struct spawn_options {
  std::string path;
  std::vector<std::string> arguments;  // argv, the program's name first
  // What the child has open beside 0, 1 and 2: the first of these as 3, the next as 4, and nothing else.
  std::vector<int> descriptors;
};

// Starts a program in this process's environment, directory, signal mask and session, without copying this
// process.
result<child_process> spawn(const spawn_options& options);

}  // namespace triga::proc
