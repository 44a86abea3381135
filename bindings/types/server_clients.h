// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <deque>

namespace triga::transports {

// The native transports of one server, none of which it keeps alive.
//
// From 3.13 on asyncio.Server has its connections in a WeakSet: a weak reference and an element of a set are
// 150 bytes for each. Here each is one word, and knows its place.
//
// A transport is taken off when the server is told of its end, and at the latest when it goes. Used under the
// GIL.
class server_clients {
 public:
  server_clients() = default;
  server_clients(const server_clients&) = delete;
  server_clients& operator=(const server_clients&) = delete;
  server_clients(server_clients&&) = delete;
  server_clients& operator=(server_clients&&) = delete;
  ~server_clients();

  // False if it is another server's, and stays so.
  bool add(PyObject* transport);
  // False if it is not here.
  bool discard(PyObject* transport) noexcept;
  [[nodiscard]] bool holds(PyObject* transport) const noexcept;
  [[nodiscard]] const std::deque<PyObject*>& all() const noexcept { return members_; }

 private:
  std::deque<PyObject*> members_;  // borrowed
};

// Makes the type of what stands in Server._clients, which has besides a WeakSet for transports of other
// kinds. Throws pybind11::error_already_set.
PyObject* make_server_clients_type(PyObject* core);

}  // namespace triga::transports
