// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "bindings/processes/answers.h"

namespace triga {

// Measures a task in its worker process, from construction on. The peak is the process's high-water mark,
// which Linux lets a process set back (proc(5), clear_refs); where it may not, the mark of its whole life.
class task_meter {
 public:
  task_meter() noexcept;
  [[nodiscard]] task_usage read() const noexcept;

 private:
  std::int64_t cpu_;
  std::int64_t wall_;
};

}  // namespace triga
