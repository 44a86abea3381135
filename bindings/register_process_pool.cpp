// SPDX-License-Identifier: MIT
// The process pool's core for Python: triga._processes builds Pool and ProcessPoolExecutor on it.
#include <pybind11/stl.h>

#include <memory>
#include <tuple>

#include "bindings/processes/pool_binding.h"
#include "bindings/processes/worker_loop.h"
#include "bindings/register.h"
#include "bindings/types/pickle_sink.h"
#include "bindings/types/shared_buffer.h"
#include "bindings/types/task_desk.h"
#include "runtime/proc/parent_watch.h"
#include "runtime/shm/slab.h"

namespace triga {
namespace {

namespace pb = pybind11;
using proc::batch;
using proc::receiver;

proc::task_terms terms_of(std::uint16_t tag, int retries, double seconds, bool measured) {
  proc::task_terms terms{.tag = tag, .retries = static_cast<std::uint16_t>(retries)};
  if (measured) terms.tag |= call_flag::measured;
  terms.time_limit = nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
  return terms;
}

void register_receivers(pb::module_& core) {
  std::ignore = pb::class_<receiver, std::shared_ptr<receiver>>(core, "Receiver");
  pb::class_<batch, receiver, std::shared_ptr<batch>>(core, "Batch")
      .def(pb::init([](const pb::object& expected, bool whole, std::uint64_t token) {
             return std::make_shared<batch>(
                 expected.is_none() ? batch::unknown : expected.cast<std::uint64_t>(),
                 whole ? batch::order::whole : batch::order::one_by_one, token);
           }),
           pb::arg("expected"), pb::arg("whole"), pb::arg("token"))
      .def("expect", &batch::expect)
      .def("complete", &batch::complete)
      .def("expected", &batch::expected)
      .def("arrived", &batch::arrived)
      .def("arrival", &batch::arrival)
      .def("notify", &batch::notify)
      .def("settled", &batch::settled)
      .def("first_failure", &batch::first_failure);
}

void register_terms(pb::module_& core) {
  pb::class_<proc::task_terms>(core, "TaskTerms")
      .def(pb::init(&terms_of), pb::arg("tag"), pb::arg("retries") = 0, pb::arg("seconds") = 0.0,
           pb::arg("measured") = false);
}

void register_chunk_plan(pb::module_& core) {
  using proc::chunk_plan;
  pb::class_<chunk_plan>(core, "ChunkPlan", "How the items of a map are divided into tasks.")
      .def(pb::init<std::size_t, std::size_t, std::size_t>(), pb::arg("most"), pb::arg("least"),
           pb::arg("share"))
      .def("count", &chunk_plan::count, pb::arg("items"));
}

void register_pool(pb::module_& core) {
  pb::class_<pool_binding>(core, "ProcessPool")
      .def(pb::init<const pb::object&, const pb::object&, bool, std::uint64_t>(), pb::arg("make_pickler"),
           pb::arg("make_other"), pb::arg("spin"), pb::arg("keep"))
      .def("prepare_worker", &pool_binding::prepare_worker)
      .def("worker_started",
           [](pool_binding& self, std::uint64_t id, pid_t pid) { self.core().worker_started(id, pid); })
      .def("discard_worker", [](pool_binding& self, std::uint64_t id) { self.core().discard_worker(id); })
      .def("submit", &pool_binding::submit)
      .def("submit_chunks", &pool_binding::submit_chunks)
      .def("conclude",
           [](pool_binding& self, receiver& to, std::uint64_t index) { self.core().conclude(to, index); })
      .def("reconsider", [](pool_binding& self) { self.core().reconsider(); })
      .def("collect", [](pool_binding& self) { self.core().collect(); })
      .def("wait_complete",
           [](pool_binding& self, batch& what, const pb::object& timeout) {
             return self.wait([&what] { return what.complete(); }, timeout, true);
           })
      .def("wait_settled",
           [](pool_binding& self, batch& what, std::uint64_t index, const pb::object& timeout) {
             return self.wait([&what, index] { return what.settled(index); }, timeout, true);
           })
      .def("wait_arrival",
           [](pool_binding& self, batch& what, std::uint64_t position, const pb::object& timeout) {
             return self.wait(
                 [&what, position] { return what.arrived() > position || position >= what.expected(); },
                 timeout, true);
           })
      .def("wait_idle",
           [](pool_binding& self, const pb::object& timeout) {
             return self.wait([&self] { return self.core().idle_locked(); }, timeout, true);
           })
      .def("wait_backlog",
           [](pool_binding& self, std::size_t bytes) {
             return self.wait([&self, bytes] { return self.core().backlog_below_locked(bytes); }, pb::none(),
                              true);
           })
      .def("serve", &pool_binding::serve)
      .def("stop_serving", [](pool_binding& self) { self.core().stop_serving(); })
      .def("allow_serving", [](pool_binding& self) { self.core().allow_serving(); })
      .def("wants_collector", [](pool_binding& self) { return self.core().wants_collector(); })
      .def("take_departed",
           [](pool_binding& self) {
             pb::list all;
             for (const auto& each : self.core().take_departed()) all.append(departure_of(each));
             return all;
           })
      .def("take_notices", [](pool_binding& self) { return self.core().take_notices(); })
      .def("take", &pool_binding::take)
      .def("take_lists", &pool_binding::take_lists)
      .def("cancel", [](pool_binding& self, receiver& to,
                        std::uint64_t index) { return self.core().cancel(to, index); })
      .def("cancel_running", [](pool_binding& self, receiver& to,
                                std::uint64_t index) { return self.core().cancel_running(to, index); })
      .def("cancel_waiting", [](pool_binding& self) { self.core().cancel_waiting(); })
      .def("is_running", [](pool_binding& self, const receiver& to,
                            std::uint64_t index) { return self.core().is_running(to, index); })
      .def("finish", [](pool_binding& self) { self.core().finish(); })
      .def("stop_workers", [](pool_binding& self) { self.core().stop_workers(); })
      .def("abandon_tasks", [](pool_binding& self) { self.core().abandon_tasks(); })
      .def("forget_in_child", [](pool_binding& self) { self.core().forget_in_child(); })
      .def("outstanding", [](pool_binding& self) { return self.core().outstanding(); })
      .def("backlog_bytes", [](pool_binding& self) { return self.core().backlog_bytes(); })
      .def("failed_starts", [](pool_binding& self) { return self.core().failed_starts(); });
}

void register_worker(pb::module_& core) {
  core.def(
      "run_pool_worker",
      [](int memory, int bell, int leader, int collector, int parent, bool executor, std::uint64_t most,
         const pb::object& make_pickler, const pb::object& initialize, const pb::object& wrap_error,
         const pb::object& wrap_unsendable) {
        proc::worker_link link({memory, bell, leader, collector, parent});
        proc::die_with(link.parent());
        initialize();
        run_worker(link, executor ? worker_kind::executor : worker_kind::pool, most, make_pickler, wrap_error,
                   wrap_unsendable);
      },
      "The life of a pool's worker process; takes the descriptors over.");
  core.def("note_fork", &shm::note_fork, "Tells shared payloads that this process is about to fork.");
}

}  // namespace

void register_process_pool(pb::module_& core) {
  core.add_object("PickleSink", pb::reinterpret_steal<pb::object>(make_pickle_sink_type(core.ptr())));
  core.add_object("SharedBuffer", pb::reinterpret_steal<pb::object>(make_shared_buffer_type(core.ptr())));
  core.def(
      "bytes_of_shared",
      [](const pb::object& buffer) {
        auto made = pb::reinterpret_steal<pb::object>(bytes_of_shared(buffer.ptr()));
        if (!made) throw pb::error_already_set();
        return made;
      },
      pb::pos_only(), pb::arg("buffer"), "A bytes object with what a SharedBuffer holds.");
  core.add_object("TaskDesk", pb::reinterpret_steal<pb::object>(make_task_desk_type(core.ptr())));
  register_receivers(core);
  register_terms(core);
  register_chunk_plan(core);
  register_pool(core);
  register_worker(core);
}

}  // namespace triga
