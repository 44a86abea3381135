// SPDX-License-Identifier: MIT
// Descriptors that Python code owns and that are closed with their last reference. A socket object's end
// warns of that in Python, and a __del__ of Python's swallows a KeyboardInterrupt.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "bindings/py/errors.h"
#include "bindings/register.h"
#include "runtime/base/unique_fd.h"

namespace triga {
namespace {

namespace pb = pybind11;

std::pair<unique_fd, unique_fd> socket_pair(int type) {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) != 0) py::throw_os_error(errno);
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

std::pair<unique_fd, unique_fd> make_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) py::throw_os_error(errno);
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

void shut_down(const unique_fd& socket) {
  if (::shutdown(socket.get(), SHUT_RDWR) != 0) py::throw_os_error(errno);
}

}  // namespace

void register_descriptor(pb::module_& core) {
  pb::class_<unique_fd>(
      core, "Descriptor",
      "A file descriptor, closed with the last reference to this object. Never made by itself.")
      .def("fileno", &unique_fd::get, "The descriptor, or -1 once it is closed.")
      .def(
          "close", [](unique_fd& self) { self.reset(); }, "Closes it, if it is not closed.")
      .def("release", &unique_fd::release, "The descriptor, which is the caller's to close from now on.")
      .def("shutdown", &shut_down,
           "Ends a socket's connection, whoever holds another copy of it. Raises OSError if there is none.")
      .def("__enter__", [](pb::object self) { return self; })
      .def("__exit__", [](unique_fd& self, const pb::args&) { self.reset(); });
  core.def("pipe", &make_pipe, "A pipe's reading and writing end, which no started program inherits.");
  core.def("socket_pair", &socket_pair, pb::arg("type"),
           "Two connected sockets of the family AF_UNIX, which no started program inherits.");
}

}  // namespace triga
