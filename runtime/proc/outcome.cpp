// SPDX-License-Identifier: MIT
#include "runtime/proc/outcome.h"

#include <cstring>

namespace triga::proc {

std::string describe(const departure& worker) {
  const std::string process = "worker process " + std::to_string(worker.pid);
  if (worker.was_corrupt) return process + " was killed because it damaged its channel";
  if (!worker.status.known) return process + " ended";
  const std::string value = std::to_string(worker.status.value);
  if (!worker.status.signalled) return process + " exited with code " + value;
  const char* const name = ::sigabbrev_np(worker.status.value);
  return process + " was killed by signal " + value +
         (name != nullptr ? " (SIG" + std::string(name) + ")" : "");
}

}  // namespace triga::proc
