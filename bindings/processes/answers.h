// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>

#include "bindings/processes/pickling.h"
#include "runtime/proc/outcome.h"

namespace triga {

// What a task took, as its worker measured it; before the answer's body where the task asked for it.
struct task_usage {
  std::int64_t cpu_nanoseconds;
  std::int64_t wall_nanoseconds;
  std::int64_t peak_bytes;  // resident, at the worst moment of the task
};

// The flags of an answer's tag; beside proc::value_tag or proc::error_tag.
struct answer_flag {
  static constexpr std::uint16_t plain = 0x20;
  static constexpr std::uint16_t measured = 0x40;
};

// The value that an answer carries. Throws error_already_set with what unpickling raised.
pybind11::object value_of(proc::message& answer, const decoder& pickles);

// (CPU seconds, wall seconds, peak bytes, pid is the caller's to know), or None where nobody measured.
pybind11::object usage_of(proc::message& answer);

// "value", "error", ... and what goes with it.
struct told {
  const char* word;
  pybind11::object value;
};
told tell(proc::outcome& end, const decoder& pickles);
// The same, where a value that cannot be unpickled is no exception but the word "damaged" with it.
told tell_all(proc::outcome& end, const decoder& pickles);

// (worker, pid, exit code or None, text, whether it had done its share, whether it ended by itself)
pybind11::tuple departure_of(const proc::departure& worker);

}  // namespace triga
