// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"
#include "runtime/net/address.h"

// Socket addresses as the socket module has them, natively for IPv4, IPv6 and Unix.
namespace triga::sockets {

[[nodiscard]] constexpr bool knows_family(int family) noexcept {
  return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

// What socket.recvfrom() and accept() give for it; None for an empty one. Null: an exception is set.
py::ref to_python(const net::address& address);

enum class parsed {
  yes,     // the address was read
  no,      // the socket module has to deal with it: a name to resolve, or something that is wrong in it
  failed,  // an exception is set
};

// Reads what programs give to socket.sendto() for a socket of that family.
parsed from_python(int family, PyObject* given, net::address& address);

}  // namespace triga::sockets
