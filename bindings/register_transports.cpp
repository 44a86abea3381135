// SPDX-License-Identifier: MIT
#include "bindings/register.h"
#include "bindings/types/server_clients.h"
#include "bindings/types/stream_transport.h"

namespace triga {

void register_transports(pybind11::module_& core) {
  PyObject* module = core.ptr();  // the function's owner: a reference from it to itself would never go
  core.def(
      "make_stream_transport_type",
      [module](const pybind11::type& base, const pybind11::type& buffered_protocol,
               const pybind11::type& transport_socket) {
        return pybind11::reinterpret_steal<pybind11::object>(
            transports::make_type(module, base.ptr(), buffered_protocol.ptr(), transport_socket.ptr()));
      },
      pybind11::arg("base"), pybind11::arg("buffered_protocol"), pybind11::arg("transport_socket"),
      "Makes the native transport type under `base`, a Python class that derives from asyncio's.");
  core.attr("ServerClients") =
      pybind11::reinterpret_steal<pybind11::object>(transports::make_server_clients_type(module));
}

}  // namespace triga
