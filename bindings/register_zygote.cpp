// SPDX-License-Identifier: MIT
// The zygote's two sides under Python: zygote_start() asks it for a process, Zygote.serve() is its main loop.
#include <poll.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/py/errors.h"
#include "bindings/py/gil.h"
#include "bindings/register.h"
#include "runtime/proc/background.h"
#include "runtime/proc/child_process.h"
#include "runtime/proc/clone.h"
#include "runtime/proc/fork_memory.h"
#include "runtime/proc/process_traits.h"
#include "runtime/proc/spawn.h"
#include "runtime/proc/start_request.h"
#include "runtime/proc/working_set.h"
#include "runtime/proc/zygote_server.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

namespace pb = pybind11;

// Sleeps until the zygote answers (its first answer comes after its start), running signal handlers
// meanwhile.
void await_readable(int socket) {
  for (;;) {
    int ready = 0;
    {
      // Safe: only a descriptor that the caller keeps open is used.
      const py::gil_release unlocked;
      pollfd watched{.fd = socket, .events = POLLIN, .revents = 0};
      ready = ::poll(&watched, 1, -1);
    }
    if (ready > 0) return;
    if (PyErr_CheckSignals() != 0) throw pb::error_already_set();
  }
}

void zygote_order(int socket, int socket_of_clone) {
  if (const int error = proc::send_order(socket, socket_of_clone)) py::throw_os_error(error);
}

proc::child_process zygote_answer(int socket) {
  await_readable(socket);
  auto answer = proc::receive_answer(socket);
  if (!answer) py::throw_os_error(answer.error());
  return {answer->pid, std::move(answer->pidfd)};
}

void zygote_start(int socket, const std::optional<proc::process_traits>& traits,
                  const std::vector<int>& descriptors, const std::vector<int>& targets) {
  std::optional<proc::inherited_traits> inherited;
  if (traits) inherited = traits->inherited;
  if (const int error = proc::send_request(socket, inherited, descriptors, targets))
    py::throw_os_error(error);
  trace::count(trace::counter::processes_spawned);
  trace::count(trace::counter::processes_reused);
}

proc::child_process spawn(const std::string& path, const std::vector<std::string>& arguments,
                          const std::vector<int>& descriptors) {
  auto child = proc::spawn({.path = path, .arguments = arguments, .descriptors = descriptors});
  if (!child) py::throw_os_error(child.error());
  return *std::move(child);
}

// A copy of this process, which is its parent's child. The pid is 0 in the copy.
result<proc::cloned> clone_interpreter() {
  PyOS_BeforeFork();
  auto made = proc::clone_as_sibling();
  if (made && made->pid == 0) {
    proc::use_small_pages();
    PyOS_AfterFork_Child();
  } else {
    PyOS_AfterFork_Parent();
  }
  return made;
}

pid_t clone_as_sibling() {
  auto made = clone_interpreter();
  if (!made) py::throw_os_error(made.error());
  return made->pid;
}

// In the zygote: answers the order with a clone. Returns whether this is the clone.
bool serve_order(proc::zygote_server& server, unique_fd socket_of_clone) {
  auto made = clone_interpreter();
  if (made && made->pid == 0) {
    server.become_spare(std::move(socket_of_clone));
    return true;
  }
  // A parent that is gone cannot be answered; the next turn sees that it is gone.
  static_cast<void>(made ? proc::send_answer(server.control(), made->pid, made->pidfd.get())
                         : proc::send_refusal(server.control(), made.error()));
  return false;
}

proc::zygote_event await(proc::zygote_server& server) {
  for (;;) {
    proc::zygote_event event{};
    {
      // Safe: the server belongs to this call's Python object, and only this thread uses it.
      const py::gil_release unlocked;
      event = server.await();
    }
    if (event != proc::zygote_event::interrupted) return event;
    if (PyErr_CheckSignals() != 0) throw pb::error_already_set();
  }
}

// Serves orders until something else has to be done: "clone" in a clone, "connection" when somebody has
// connected to the listener, "over" when the zygote has to end.
const char* serve(proc::zygote_server& server) {
  proc::enter_background();  // clones are made ahead
  for (;;) {
    switch (await(server)) {
      case proc::zygote_event::connection:
        return "connection";
      case proc::zygote_event::request:
        break;
      default:
        return "over";
    }
    auto order = proc::receive_order(server.control());
    if (!order) {
      if (!server.drop_control()) return "over";
      continue;
    }
    if (serve_order(server, *std::move(order))) return "clone";
  }
}

// What a clone is given: the numbers of its descriptors, and the signals to ignore if it was given traits.
using clone_entry = std::pair<std::vector<int>, std::optional<std::uint64_t>>;

// In a clone: sleeps until it is told what it shall have. None when nobody will tell it any more.
std::optional<clone_entry> await_start(proc::zygote_server& server) {
  if (await(server) != proc::zygote_event::request) return std::nullopt;
  auto request = proc::receive_request(server.control());
  if (!request) return std::nullopt;
  proc::leave_background();
  server.close();
  auto numbers = proc::place_descriptors(std::move(request->descriptors), request->targets);
  if (!numbers) py::throw_os_error(numbers.error());
  const auto traits = request->traits;
  if (!traits) return clone_entry{*std::move(numbers), std::nullopt};
  proc::assume_traits(*traits);
  return clone_entry{*std::move(numbers), traits->ignored_signals};
}

proc::process_traits traits_of_this_thread() {
  auto traits = proc::current_traits();
  if (!traits) py::throw_os_error(traits.error());
  return *std::move(traits);
}

// What the C library's exit() would do is done as far as it concerns output: buffers of C streams are
// written.
void exit_without_teardown(int code) {
  std::fflush(nullptr);
  _exit(code);
}

pb::bytes environment() {
  std::string block;
  for (char** each = environ; each != nullptr && *each != nullptr; ++each)
    block.append(*each).push_back('\0');
  return block;
}

}  // namespace

void register_zygote(pb::module_& core) {
  pb::class_<proc::process_traits>(core, "ProcessTraits",
                                   "What a started program inherits from the calling thread.")
      .def(pb::init(&traits_of_this_thread))
      .def_property_readonly("fixed",
                             [](const proc::process_traits& traits) { return pb::bytes(traits.fixed); });
  pb::class_<proc::zygote_server>(core, "Zygote", "The zygote's own side: owns the descriptors; -1 for none.")
      .def(pb::init([](int parent, int control, int listener, int alive) {
             return proc::zygote_server(unique_fd(parent), unique_fd(control), unique_fd(listener),
                                        unique_fd(alive));
           }),
           pb::arg("parent"), pb::arg("control") = -1, pb::arg("listener") = -1, pb::arg("alive") = -1)
      .def("serve", &serve,
           "Makes clones as ordered. Returns \"clone\" in a clone, \"connection\" when somebody has "
           "connected to "
           "the listener, \"over\" when the zygote has to end.")
      .def("await_start", &await_start,
           "In a clone: sleeps until it is started. Returns (descriptors, ignored signals or None), or None "
           "when it has to end.")
      .def_property_readonly("listener", &proc::zygote_server::listener)
      .def("set_control",
           [](proc::zygote_server& server, int control) { server.set_control(unique_fd(control)); });
  pb::class_<proc::working_set>(core, "WorkingSet", "The pages that a forked process comes to write to.")
      .def(pb::init())
      .def("learn", &proc::working_set::learn,
           "In a process that is about to end: notes its pages, if it is the first. Returns whether it was.")
      .def("copy_at_fork", &proc::working_set::copy_at_fork,
           "In the process that is forked, while a child lives: has later forks copy those pages at once. "
           "Returns "
           "whether they will, None while nothing is known or if the child has ended meanwhile.")
      .def("populate", &proc::working_set::populate,
           "In a fresh clone: has the kernel make those pages the clone's own. Returns how many there are.");
  core.def("clone_as_sibling", &clone_as_sibling,
           "Makes a copy of this process that is a child of its parent. Returns its pid, and 0 in the copy.");
  core.def(
      "zygote_order", &zygote_order, pb::arg("socket"), pb::arg("socket_of_clone"),
      "Asks the zygote behind SOCKET for a clone that waits at SOCKET_OF_CLONE, without waiting for it.");
  core.def("zygote_answer", &zygote_answer, pb::arg("socket"),
           "The clone that was asked for longest ago, once the zygote has made it.");
  core.def("zygote_start", &zygote_start, pb::arg("socket"), pb::arg("traits"), pb::arg("descriptors"),
           pb::arg("targets"), "Starts the clone behind SOCKET with DESCRIPTORS under TARGETS.");
  core.def("spawn", &spawn, pb::arg("path"), pb::arg("arguments"), pb::arg("descriptors"),
           "Starts a program that has DESCRIPTORS open from 3 on, and nothing else beside 0 to 2.");
  core.def("exit_without_teardown", &exit_without_teardown, pb::arg("code"),
           "Ends the process at once, after writing out the buffers of C streams.");
  core.def("environment", &environment,
           "This process's environment as the kernel's block of NAME=value strings.");
}

}  // namespace triga
