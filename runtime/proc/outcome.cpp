// SPDX-License-Identifier: MIT
#include "runtime/proc/outcome.h"

#include <cstring>

namespace triga::proc {

std::string describe(const departure& worker) {
  const std::string process = "worker process " + std::to_string(worker.pid);
  switch (worker.why) {
    case end_reason::damage:
      return process + " was killed because it damaged its channel";
    case end_reason::timeout:
      return process + " was killed because its task ran longer than its time limit";
    case end_reason::cancelling:
      return process + " was killed to cancel its task";
    case end_reason::its_own:
      break;
  }
  if (!worker.status.known) return process + " ended";
  const std::string value = std::to_string(worker.status.value);
  if (!worker.status.signalled) return process + " exited with code " + value;
  const char* const name = ::sigabbrev_np(worker.status.value);
  return process + " was killed by signal " + value +
         (name != nullptr ? " (SIG" + std::string(name) + ")" : "");
}

}  // namespace triga::proc
