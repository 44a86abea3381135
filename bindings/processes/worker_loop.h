// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "bindings/processes/pickling.h"
#include "runtime/proc/outcome.h"
#include "runtime/proc/worker_link.h"

namespace triga {

// What a task's message asks for: the low bits of its tag, which call_flag has others of; its content is the
// tuple named, in the form that call_encoder gives it.
enum class task_tag : std::uint16_t {
  call = 1,    // (function, arguments, keywords): function(*arguments, **keywords)
  map = 2,     // (function, items): [function(item) for item in items]
  starmap = 3  // (function, items): [function(*item) for item in items]
};

inline constexpr std::uint16_t task_tag_mask = 0x000F;

// What ends a worker, in which the standard library's two pools differ.
enum class worker_kind {
  pool,     // what a task raises that is no Exception (SystemExit, KeyboardInterrupt)
  executor  // a task that cannot be unpickled; whatever it raises when it runs is sent to the parent
};

// A worker process's life: takes tasks, runs them and sends what came of them, until the parent wants no
// more, `most` tasks have run (0: no limit) or the parent has died. `wrap_error(exception)` gives what is
// sent for an exception, `wrap_unsendable(exception, value)` what is sent for a value that could not be
// pickled or sent.
void run_worker(proc::worker_link& link, worker_kind kind, std::uint64_t most,
                const pybind11::object& make_pickler, const pybind11::object& wrap_error,
                const pybind11::object& wrap_unsendable);

}  // namespace triga
