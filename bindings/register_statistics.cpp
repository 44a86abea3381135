// SPDX-License-Identifier: MIT
#include "bindings/register.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

pybind11::dict counters() {
  const trace::counter_values values = trace::snapshot();
  pybind11::dict named;
  for (std::size_t i = 0; i < trace::counter_count; ++i) {
    named[pybind11::str(trace::counter_names[i].data(), trace::counter_names[i].size())] = values[i];
  }
  return named;
}

}  // namespace

void register_statistics(pybind11::module_& core) {
  core.attr("version") = TRIGA_VERSION;
  core.def("counters", &counters,
           "What the C++ core of this process has done so far: a dict of counter name to int.");
  core.def("reset_counters_after_fork", &trace::reset_after_fork_in_child,
           "Starts the counters from zero in a forked child.");
}

}  // namespace triga
