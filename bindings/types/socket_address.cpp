// SPDX-License-Identifier: MIT
#include "bindings/types/socket_address.h"

#include <climits>
#include <optional>

namespace triga::sockets {
namespace {

py::ref host_of(const net::address& address) {
  const std::string host = address.host();
  return py::ref::steal(PyUnicode_FromStringAndSize(host.data(), static_cast<Py_ssize_t>(host.size())));
}

py::ref path_of(const net::address& address) {
  const std::string_view path = address.path();
  const auto size = static_cast<Py_ssize_t>(path.size());
  const bool abstract = !path.empty() && path.front() == '\0';
  const char* const begin = path.data();
  return py::ref::steal(abstract ? PyBytes_FromStringAndSize(begin, size)
                                 : PyUnicode_DecodeFSDefaultAndSize(begin, size));
}

// A whole number of the tuple, in its range. Nothing if it is something else: the socket module says what is
// wrong.
std::optional<std::uint32_t> number_of(PyObject* tuple, Py_ssize_t at, std::uint32_t most) {
  PyObject* item = PyTuple_GET_ITEM(tuple, at);
  if (!PyLong_CheckExact(item)) return std::nullopt;
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(item, &overflow);
  if (overflow != 0 || value < 0 || value > most) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

std::optional<net::address> internet_address(int family, PyObject* given) {
  constexpr std::uint32_t most_ports = 65535;
  constexpr std::uint32_t most_flows = 0xFFFFF;
  const Py_ssize_t size = PyTuple_Check(given) ? PyTuple_GET_SIZE(given) : 0;
  if (size < 2 || size > (family == AF_INET ? 2 : 4)) return std::nullopt;
  PyObject* host = PyTuple_GET_ITEM(given, 0);
  if (!PyUnicode_Check(host) || !PyUnicode_IS_ASCII(host)) return std::nullopt;
  const char* text = PyUnicode_AsUTF8(host);
  const auto port = number_of(given, 1, most_ports);
  const auto flow = size > 2 ? number_of(given, 2, most_flows) : 0;
  const auto scope = size > 3 ? number_of(given, 3, UINT32_MAX) : 0;
  if (text == nullptr || !port || !flow || !scope) return std::nullopt;
  if (family == AF_INET) return net::address::ipv4(text, static_cast<std::uint16_t>(*port));
  return net::address::ipv6(text, static_cast<std::uint16_t>(*port), *flow, *scope);
}

std::optional<net::address> unix_address(PyObject* given) {
  if (PyBytes_Check(given)) {
    return net::address::unix_path(
        {PyBytes_AS_STRING(given), static_cast<std::size_t>(PyBytes_GET_SIZE(given))});
  }
  if (!PyUnicode_Check(given)) return std::nullopt;
  const py::ref path = py::ref::steal(PyUnicode_EncodeFSDefault(given));
  return path ? unix_address(path.get()) : std::nullopt;
}

}  // namespace

py::ref to_python(const net::address& address) {
  if (address.empty()) return py::ref::borrow(Py_None);
  if (address.family() == AF_UNIX) return path_of(address);
  const py::ref host = host_of(address);
  if (!host) return py::ref();
  if (address.family() == AF_INET) return py::ref::steal(Py_BuildValue("Oi", host.get(), address.port()));
  return py::ref::steal(
      Py_BuildValue("OiII", host.get(), address.port(), address.flow_info(), address.scope()));
}

parsed from_python(int family, PyObject* given, net::address& address) {
  if (!knows_family(family)) return parsed::no;
  const std::optional<net::address> made =
      family == AF_UNIX ? unix_address(given) : internet_address(family, given);
  if (PyErr_Occurred() != nullptr) return parsed::failed;
  if (!made) return parsed::no;
  address = *made;
  return parsed::yes;
}

}  // namespace triga::sockets
