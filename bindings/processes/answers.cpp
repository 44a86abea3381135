// SPDX-License-Identifier: MIT
#include "bindings/processes/answers.h"

#include <cstring>

#include "bindings/processes/plain_value.h"

namespace triga {
namespace {

namespace pb = pybind11;

std::optional<task_usage> measured(proc::message& answer, proc::byte_span body) {
  task_usage usage{};
  if ((answer.tag & answer_flag::measured) == 0 || body.size() < sizeof usage) return std::nullopt;
  std::memcpy(&usage, body.data(), sizeof usage);
  return usage;
}

pb::object exit_of(const proc::departure& worker) {
  if (!worker.status.known) return pb::none();
  return pb::int_(worker.status.signalled ? -worker.status.value : worker.status.value);
}

}  // namespace

pb::object value_of(proc::message& answer, const decoder& pickles) {
  proc::byte_span body = body_of(answer);
  if (measured(answer, body)) body = body.subspan(sizeof(task_usage));
  if ((answer.tag & answer_flag::plain) == 0) return pickles.decode(body, answer.buffers);
  pb::object value = pb::reinterpret_steal<pb::object>(read_plain(body));
  if (!value) throw pb::error_already_set();
  return value;
}

pb::object usage_of(proc::message& answer) {
  if ((answer.tag & answer_flag::measured) == 0) return pb::none();
  const auto usage = measured(answer, body_of(answer));
  if (!usage) return pb::none();
  return pb::make_tuple(static_cast<double>(usage->cpu_nanoseconds) / 1e9,
                        static_cast<double>(usage->wall_nanoseconds) / 1e9, usage->peak_bytes);
}

pb::tuple departure_of(const proc::departure& worker) {
  return pb::make_tuple(worker.worker, worker.pid, exit_of(worker), proc::describe(worker), worker.was_done,
                        worker.why == proc::end_reason::its_own);
}

told tell(proc::outcome& end, const decoder& pickles) {
  switch (end.what) {
    case proc::outcome::kind::answered:
      return {end.succeeded() ? "value" : "error", value_of(end.answer, pickles)};
    case proc::outcome::kind::lost:
      return {"lost", departure_of(end.worker)};
    case proc::outcome::kind::timed_out:
      return {"timed_out", departure_of(end.worker)};
    case proc::outcome::kind::unsendable:
      return {"unsendable", pb::int_(end.error)};
    case proc::outcome::kind::cancelled:
      break;
  }
  return {"cancelled", pb::bool_(end.worker.pid != 0)};
}

told tell_all(proc::outcome& end, const decoder& pickles) {
  try {
    return tell(end, pickles);
  } catch (pb::error_already_set& error) {
    pb::object raised = error.value();
    if (error.trace()) PyException_SetTraceback(raised.ptr(), error.trace().ptr());
    return {"damaged", std::move(raised)};
  }
}

}  // namespace triga
