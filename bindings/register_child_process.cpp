// SPDX-License-Identifier: MIT
#include <pybind11/stl.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <optional>

#include "bindings/py/errors.h"
#include "bindings/py/gil.h"
#include "bindings/register.h"
#include "runtime/proc/child_process.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

namespace pb = pybind11;
using proc::child_process;
using proc::wait_outcome;

time_point deadline_of(std::optional<double> seconds) {
  if (!seconds || std::isinf(*seconds)) return never;
  if (!(*seconds > 0)) return monotonic_clock::now();
  constexpr double longest = 1e9;  // thirty years, far inside what nanoseconds can count
  return deadline_after(nanoseconds(static_cast<std::int64_t>(std::min(*seconds, longest) * 1e9)));
}

child_process adopt(pid_t pid) {
  auto child = child_process::open(pid);
  if (!child) py::throw_os_error(child.error());
  trace::count(trace::counter::processes_spawned);
  return *std::move(child);
}

// The calls on one child are serialised by the GIL, which all but await_end() hold.
std::optional<int> wait(child_process& child, std::optional<double> timeout) {
  const time_point deadline = deadline_of(timeout);
  for (;;) {
    if (const auto code = child.reap()) return code;
    wait_outcome outcome{};
    {
      // Safe: the object lives as long as the Python object that this call holds, and await_end() only polls.
      const py::gil_release unlocked;
      outcome = child.await_end(deadline);
    }
    if (outcome == wait_outcome::ended) return child.reap();
    if (outcome == wait_outcome::timed_out) return std::nullopt;
    if (PyErr_CheckSignals() != 0) throw pb::error_already_set();
  }
}

void send_signal(child_process& child, int number) {
  const int error = child.send_signal(number);
  if (error != 0 && error != ESRCH) py::throw_os_error(error);
}

}  // namespace

void register_child_process(pybind11::module_& core) {
  pb::class_<child_process>(core, "ChildProcess", "A child of this process, owned by its pidfd.")
      .def(pb::init(&adopt), pb::arg("pid"), "Adopts a child that nobody has waited for yet.")
      .def_property_readonly("pid", &child_process::pid)
      .def_property_readonly("returncode", &child_process::returncode)
      .def("fileno", &child_process::descriptor, "Readable once the process has ended; -1 after close().")
      .def("poll", &child_process::reap, "Its returncode, or None while it runs. Does not block.")
      .def("wait", &wait, pb::arg("timeout") = pb::none(),
           "Its returncode, or None when TIMEOUT seconds passed. Runs signal handlers while it waits.")
      .def("send_signal", &send_signal, pb::arg("number"), "Does nothing if the process is gone.")
      .def("close", &child_process::close, "Closes the descriptor; may be called twice.");
}

}  // namespace triga
