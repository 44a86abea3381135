// SPDX-License-Identifier: MIT
// What the queues between processes need beside put and get: opening, waiting, the feeder.
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>

#include "bindings/ipc/process_queue.h"
#include "bindings/py/errors.h"
#include "bindings/py/gil.h"
#include "bindings/py/timeout.h"
#include "bindings/register.h"

namespace triga {
namespace {

namespace pb = pybind11;
using ipc::sender;
using proc::message_queue;
using side = std::shared_ptr<sender>;

template <class Made>
side side_of(Made made) {
  if (!made) py::throw_os_error(made.error());
  return std::make_shared<sender>(*std::move(made));
}

side create(std::uint64_t most, std::size_t ring_bytes, std::uint64_t most_bytes) {
  message_queue::options wanted;
  wanted.most = static_cast<std::uint32_t>(std::min<std::uint64_t>(most, UINT32_MAX));
  wanted.ring_capacity = ring_bytes;
  wanted.most_bytes = most_bytes;
  return side_of(message_queue::create(wanted));
}

void open(const pb::object& queue, const side& shared, const pb::object& make_pickler, const pb::object& full,
          const pb::object& empty) {
  auto* const self = reinterpret_cast<ipc::queue_object*>(queue.ptr());
  auto made = std::make_unique<ipc::open_queue>(
      ipc::open_queue{shared, encoders(make_pickler), decoder(), full, empty});
  delete self->open;
  self->open = made.release();
}

ipc::open_queue& part_of(const pb::object& queue) {
  auto* const open = ipc::open_part(queue.ptr());
  if (open == nullptr) throw pb::value_error("this queue was not opened");
  return *open;
}

bool set_closed(const pb::object& queue, bool closed) {
  ipc::open_queue& open = part_of(queue);
  open.closed = closed;
  return open.used;
}

time_point deadline_in(const pb::object& timeout) {
  time_point deadline = never;
  if (!timeout.is_none() && !py::deadline_in(timeout.ptr(), deadline)) throw pb::error_already_set();
  return deadline;
}

// Waits until ready() says true; false if the time ran out.
template <class Wait, class Ready>
bool wait_for(const pb::object& timeout, Wait wait, Ready ready) {
  const time_point deadline = deadline_in(timeout);
  while (!ready()) {
    const auto ended = [&] {
      const py::gil_release released;  // shared memory, kept alive by the caller's argument
      return wait(deadline);
    }();
    if (ended == message_queue::status::timed_out) return ready();
    if (ended == message_queue::status::hung_up) return true;
    if (ended == message_queue::status::interrupted && PyErr_CheckSignals() != 0)
      throw pb::error_already_set();
  }
  return true;
}

bool poll(const side& shared, const pb::object& timeout) {
  message_queue& queue = shared->queue();
  return wait_for(
      timeout, [&](time_point deadline) { return queue.await_item(deadline); },
      [&] { return !queue.empty(); });
}

void join(const side& shared) {
  message_queue& queue = shared->queue();
  wait_for(
      pb::none(), [&](time_point deadline) { return queue.await_all_done(deadline); },
      [&] { return queue.all_done(); });
}

pb::object type_of(PyObject* made) {
  if (made == nullptr) throw pb::error_already_set();
  return pb::reinterpret_steal<pb::object>(made);
}

}  // namespace

void register_ipc(pb::module_& core) {
  core.attr("ProcessQueue") = type_of(ipc::make_process_queue_type(core.ptr()));
  core.attr("SimpleProcessQueue") = type_of(ipc::make_simple_process_queue_type(core.ptr()));
  pb::class_<sender, side>(core, "QueueSide", "One process's side of a queue in shared memory.")
      .def(pb::init(&create), pb::arg("most"), pb::arg("ring_bytes"), pb::arg("most_bytes"),
           "A new queue of at most `most` messages, small ones in a ring of `ring_bytes` (a power of two), "
           "large ones in at most `most_bytes` (0: any number) beside it. Raises OSError.")
      .def_static(
          "adopt", [](int descriptor) { return side_of(message_queue::adopt(unique_fd(descriptor))); },
          pb::arg("descriptor"),
          "The queue of another process, whose descriptor is taken over. Raises OSError.")
      .def("fileno", [](sender& self) { return self.queue().descriptor(); })
      .def(
          "use_pipe", [](sender& self, int reader, int writer) { self.queue().use_pipe(reader, writer); },
          pb::arg("reader"), pb::arg("writer"),
          "The pipe that tells of messages once it is watched; -1: closed.")
      .def("forget_reader", [](sender& self) { self.queue().forget_reader(); })
      .def("forget_writer", [](sender& self) { self.queue().forget_writer(); })
      .def(
          "watch", [](sender& self) { self.queue().watch(); },
          "From now on the pipe is readable if there is a message.")
      .def("poll", &poll, pb::arg("timeout"), "Waits for a message; False if none came.")
      .def("empty", [](sender& self) { return self.queue().empty(); })
      .def(
          "task_done", [](sender& self) { return self.queue().task_done(); },
          "One more message is dealt with; False if all are.")
      .def("join", &join, "Waits until all messages are dealt with.")
      .def("feed", &sender::feed, "The feeder's work: sends what is kept until finish() was called.")
      .def("finish", &sender::finish, "Has the feeder end when all that is kept has been sent.")
      .def("abandon", &sender::abandon, "Has the feeder drop what is kept.")
      .def("set_feeder", &sender::set_feeder, pb::arg("runs"));
  core.def("open_queue", &open, pb::arg("queue"), pb::arg("side"), pb::arg("make_pickler"), pb::arg("full"),
           pb::arg("empty"), "Gives a ProcessQueue or SimpleProcessQueue its queue.");
  core.def(
      "close_queue", &set_closed, pb::arg("queue"), pb::arg("closed"),
      "Whether put() and get() of this object fail from now on. Returns whether put() was called before.");
  core.def(
      "put_pickle",
      [](const pb::object& queue, const pb::bytes& pickle) { ipc::put_pickle(part_of(queue), pickle); },
      pb::arg("queue"), pb::arg("pickle"), "Puts an object that is pickled already.");
  core.def(
      "take_pickle",
      [](const pb::object& queue, const pb::object& dumps) {
        return ipc::take_pickle(part_of(queue), dumps);
      },
      pb::arg("queue"), pb::arg("dumps"),
      "The next object as a pickle; dumps(object) pickles what did not travel as one.");
}

}  // namespace triga
