// SPDX-License-Identifier: MIT
// What an interpreter keeps for socket operations and for datagram and pipe transports.
#include <utility>

#include "bindings/types/socket_operation.h"

namespace triga::sockets {

bool method_names::intern() {
  const std::pair<py::ref*, const char*> all[] = {
      {&create_future, "create_future"},
      {&done, "done"},
      {&set_result, "set_result"},
      {&fileno, "fileno"},
      {&gettimeout, "gettimeout"},
      {&sendto, "sendto"},
      {&recvfrom, "recvfrom"},
      {&recvfrom_into, "recvfrom_into"},
      {&datagram_received, "datagram_received"},
      {&error_received, "error_received"},
      {&peername, "peername"},
      {&sock, "_sock"},
      {&data_received, "data_received"},
      {&pipe_fd, "_fileno"},
      {&sock_fd, "_sock_fd"},
      {&protocol_attribute, "_protocol"},
      {&closing, "_closing"},
      {&loop, "_loop"},
      {&conn_lost, "_conn_lost"},
      {&buffer, "_buffer"},
      {&address, "_address"},
      {&extra, "_extra"},
      {&high_water, "_high_water"},
      {&pause_if_needed, "_maybe_pause_protocol"},
      {&resume_if_possible, "_maybe_resume_protocol"},
      {&watch_writable, "_watch_writable"},
      {&unwatch_writable, "_unwatch_writable"},
      {&write_failed, "_write_failed"},
      {&end_of_pipe, "_end"},
      {&close, "close"},
  };
  for (const auto& [name, text] : all) {
    *name = py::ref::steal(PyUnicode_InternFromString(text));
    if (!*name) return false;
  }
  return true;
}

std::array<py::ref state::*, 10> state::objects() const noexcept {
  return {&state::type,           &state::socket_class,    &state::stock_loop,
          &state::family,         &state::socket_type,     &state::protocol,
          &state::stock_sendto,   &state::stock_pipe_read, &state::stock_pipe_write,
          &state::pipe_queue_type};
}

int state::traverse(visitproc visit, void* arg) const {
  for (const auto each : objects()) Py_VISIT((this->*each).get());
  return addresses.traverse(visit, arg);
}

void state::clear() {
  for (const auto each : objects()) (this->*each).reset();
  addresses.clear();
}

}  // namespace triga::sockets
