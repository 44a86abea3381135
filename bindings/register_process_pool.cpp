// SPDX-License-Identifier: MIT
// The process pool's core for Python: triga._processes builds Pool and ProcessPoolExecutor on it.
#include <pybind11/stl.h>

#include <limits>
#include <memory>
#include <tuple>

#include "bindings/processes/pickling.h"
#include "bindings/processes/worker_loop.h"
#include "bindings/py/gil.h"
#include "bindings/register.h"
#include "bindings/types/pickle_sink.h"
#include "bindings/types/shared_buffer.h"
#include "runtime/proc/batch.h"
#include "runtime/proc/parent_watch.h"
#include "runtime/proc/process_pool.h"
#include "runtime/shm/slab.h"

namespace triga {
namespace {

namespace pb = pybind11;
using proc::arrivals;
using proc::batch;
using proc::process_pool;
using proc::receiver;

// Below this a task is handed over with the GIL held: letting go costs more than the copy.
constexpr std::size_t release_from = 64 * 1024;

time_point deadline_of(const pb::object& timeout) {
  if (timeout.is_none()) return never;
  const double seconds = timeout.cast<double>();
  if (!(seconds > 0)) return monotonic_clock::now();
  if (seconds > 1e9) return never;
  return deadline_after(nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
}

pb::object exit_of(const proc::departure& worker) {
  if (!worker.status.known) return pb::none();
  return pb::int_(worker.status.signalled ? -worker.status.value : worker.status.value);
}

pb::tuple departure_of(const proc::departure& worker) {
  return pb::make_tuple(worker.worker, worker.pid, exit_of(worker), proc::describe(worker), worker.was_done);
}

const char* name_of(process_pool::ended how) {
  switch (how) {
    case process_pool::ended::ready:
      return "ready";
    case process_pool::ended::timed_out:
      return "timed_out";
    case process_pool::ended::repairs:
      return "repairs";
    case process_pool::ended::notices:
      return "notices";
    case process_pool::ended::stopped:
      return "stopped";
    case process_pool::ended::interrupted:
      break;
  }
  return "interrupted";
}

class pool_binding {
 public:
  pool_binding(const pb::object& make_pickler, bool spin) : encode_(make_pickler) {
    proc::pool_options options;
    options.spin = spin;
    core_ = std::make_unique<process_pool>(options);
  }

  process_pool& core() noexcept { return *core_; }

  pb::tuple prepare_worker(std::uint64_t quota) {
    const auto made = core_->prepare_worker(quota != 0 ? quota : std::numeric_limits<std::uint64_t>::max());
    const auto& given = made.descriptors;
    return pb::make_tuple(made.id, pb::make_tuple(given.memory, given.bell, given.leader, given.collector));
  }

  void submit(const std::shared_ptr<receiver>& to, std::uint64_t index, std::uint16_t tag,
              const pb::object& task) {
    const auto ready = encode_.encode(task);
    hand_over(ready, to, index, tag);
  }

  // Submits items[start:] in chunks as tasks index, index + 1, ..., until `most` bytes wait for workers;
  // returns the start of the first chunk that was not submitted. `failed(index, exception)` is told of chunks
  // that cannot be pickled.
  std::size_t submit_chunks(const std::shared_ptr<receiver>& to, std::uint64_t index, std::uint16_t tag,
                            const pb::object& function, const pb::sequence& items, std::size_t chunk,
                            std::size_t start, std::size_t most, const pb::object& failed) {
    const std::size_t size = items.size();
    for (; start < size && core_->backlog_bytes() < most; start += chunk, ++index) {
      auto part = pb::reinterpret_steal<pb::object>(
          PySequence_GetSlice(items.ptr(), static_cast<Py_ssize_t>(start),
                              static_cast<Py_ssize_t>(std::min(start + chunk, size))));
      if (!part) throw pb::error_already_set();
      try {
        const auto ready = encode_.encode(pb::make_tuple(function, pb::tuple(part)));
        hand_over(ready, to, index, tag);
      } catch (pb::error_already_set& error) {
        if (!error.matches(PyExc_Exception)) throw;
        failed(index, error.value());
      }
    }
    return start;
  }

  const char* wait(const process_pool::condition& ready, const pb::object& timeout, bool may_repair) {
    const time_point deadline = deadline_of(timeout);
    for (;;) {
      const auto how = [&] {
        // Safe: the core and the receivers are C++ objects that the caller keeps alive, and know no Python.
        const py::gil_release released;
        return core_->wait(ready, deadline, may_repair);
      }();
      if (how != process_pool::ended::interrupted) return name_of(how);
      if (PyErr_CheckSignals() != 0) throw pb::error_already_set();
    }
  }

  const char* serve() {
    for (;;) {
      const auto how = [&] {
        const py::gil_release released;  // as in wait()
        return core_->serve();
      }();
      if (how != process_pool::ended::interrupted) return name_of(how);
    }
  }

  // What came of a task: (word, value). A value that cannot be unpickled raises here, in the thread that
  // asks.
  pb::tuple told(proc::outcome&& end) const {
    switch (end.what) {
      case proc::outcome::kind::answered: {
        const bool succeeded = end.succeeded();
        return pb::make_tuple(succeeded ? "value" : "error", decode_.decode(end.answer));
      }
      case proc::outcome::kind::lost:
        return pb::make_tuple("lost", departure_of(end.worker));
      case proc::outcome::kind::unsendable:
        return pb::make_tuple("unsendable", end.error);
      case proc::outcome::kind::cancelled:
        break;
    }
    return pb::make_tuple("cancelled", pb::none());
  }

  pb::object take(batch& from, std::uint64_t index) const {
    auto end = from.take(index);
    if (!end) return pb::none();
    return told(std::move(*end));
  }

  // The next outcome to arrive: (index, word, value), or None. A value that cannot be unpickled comes with
  // what unpickling raised, under the word "damaged".
  pb::object next_arrival(arrivals& from) const {
    auto next = from.take();
    if (!next) return pb::none();
    try {
      const pb::tuple end = told(std::move(next->end));
      return pb::make_tuple(next->index, end[0], end[1]);
    } catch (pb::error_already_set& error) {
      pb::object raised = error.value();
      if (error.trace()) PyException_SetTraceback(raised.ptr(), error.trace().ptr());
      return pb::make_tuple(next->index, "damaged", raised);
    }
  }

  // The values of a complete batch without failures: each task's value is a list, and they become one list.
  pb::list take_lists(batch& from) const {
    pb::list all;
    const std::uint64_t count = from.expected();
    for (std::uint64_t index = 0; index < count; ++index) {
      auto end = from.take(index);
      if (!end || !end->succeeded()) throw std::logic_error("take_lists() of a batch that is not a success");
      const pb::object part = decode_.decode(end->answer);
      if (PyList_SetSlice(all.ptr(), PyList_GET_SIZE(all.ptr()), PyList_GET_SIZE(all.ptr()), part.ptr()) !=
          0) {
        throw pb::error_already_set();
      }
    }
    return all;
  }

 private:
  void hand_over(const encoders::encoded& ready, const std::shared_ptr<receiver>& to, std::uint64_t index,
                 std::uint16_t tag) {
    const proc::content what = ready.content();
    if (ready.size() < release_from) {
      core_->submit(what, to, index, tag);
      return;
    }
    // Safe: `ready` keeps every piece of memory alive and unchanged, or at least exported.
    const py::gil_release released;
    core_->submit(what, to, index, tag);
  }

  std::unique_ptr<process_pool> core_;
  encoders encode_;
  decoder decode_;
};

void register_receivers(pb::module_& core) {
  std::ignore = pb::class_<receiver, std::shared_ptr<receiver>>(core, "Receiver");
  pb::class_<batch, receiver, std::shared_ptr<batch>>(core, "Batch")
      .def(pb::init([](const pb::object& expected, bool whole, std::uint64_t token) {
             auto made =
                 std::make_shared<batch>(expected.is_none() ? batch::unknown : expected.cast<std::uint64_t>(),
                                         whole ? batch::order::whole : batch::order::one_by_one, token != 0);
             made->token = token;
             return made;
           }),
           pb::arg("expected"), pb::arg("whole"), pb::arg("token"))
      .def("expect", &batch::expect)
      .def("complete", &batch::complete)
      .def("expected", &batch::expected)
      .def("arrived", &batch::arrived)
      .def("arrival", &batch::arrival)
      .def("settled", &batch::settled)
      .def("first_failure", &batch::first_failure);
  pb::class_<arrivals, receiver, std::shared_ptr<arrivals>>(core, "Arrivals")
      .def(pb::init([](std::uint64_t token) {
        auto made = std::make_shared<arrivals>();
        made->token = token;
        return made;
      }));
}

void register_pool(pb::module_& core) {
  pb::class_<pool_binding>(core, "ProcessPool")
      .def(pb::init<const pb::object&, bool>(), pb::arg("make_pickler"), pb::arg("spin"))
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
      .def("next_arrival", &pool_binding::next_arrival)
      .def("cancel", [](pool_binding& self, const receiver& to,
                        std::uint64_t index) { return self.core().cancel(&to, index); })
      .def("cancel_waiting", [](pool_binding& self) { self.core().cancel_waiting(); })
      .def("is_running", [](pool_binding& self, const receiver& to,
                            std::uint64_t index) { return self.core().is_running(&to, index); })
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
  register_receivers(core);
  register_pool(core);
  register_worker(core);
}

}  // namespace triga
