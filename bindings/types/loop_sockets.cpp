// SPDX-License-Identifier: MIT
// LoopBase: sock_recv() and its kin, and the registrations that sockets keep between them.
#include <pybind11/pybind11.h>

#include <array>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/register.h"
#include "bindings/types/datagram_transport.h"
#include "bindings/types/pipe_transport.h"
#include "bindings/types/socket_operation.h"

namespace triga {
namespace sockets {
namespace {

struct signature {
  const char* method;
  kind what;
  Py_ssize_t required;                    // the socket included
  std::array<const char*, 3> parameters;  // all of them; null: there is none
};

constexpr signature recv_signature{"sock_recv", kind::recv, 2, {"sock", "n"}};
constexpr signature recv_into_signature{"sock_recv_into", kind::recv_into, 2, {"sock", "buf"}};
constexpr signature recvfrom_signature{"sock_recvfrom", kind::recvfrom, 2, {"sock", "bufsize"}};
constexpr signature recvfrom_into_signature{
    "sock_recvfrom_into", kind::recvfrom_into, 2, {"sock", "buf", "nbytes"}};
constexpr signature sendall_signature{"sock_sendall", kind::sendall, 2, {"sock", "data"}};
constexpr signature sendto_signature{"sock_sendto", kind::sendto, 3, {"sock", "data", "address"}};
constexpr signature accept_signature{"sock_accept", kind::accept, 1, {"sock"}};
constexpr signature wait_signature{"_sock_wait_writable", kind::wait_writable, 1, {"sock"}};

using values = std::array<PyObject*, 3>;

Py_ssize_t parameter_of(const signature& of, PyObject* name) {
  for (std::size_t at = 0; at < of.parameters.size() && of.parameters[at] != nullptr; ++at) {
    if (PyUnicode_CompareWithASCIIString(name, of.parameters[at]) == 0) return static_cast<Py_ssize_t>(at);
  }
  PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", of.method, name);
  return -1;
}

bool bind(const signature& of, PyObject* const* args, Py_ssize_t count, PyObject* names, values& bound) {
  const Py_ssize_t most = of.parameters[1] == nullptr ? 1 : of.parameters[2] == nullptr ? 2 : 3;
  if (count > most) {
    PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments but %zd were given", of.method,
                 most + 1, count + 1);
    return false;
  }
  for (Py_ssize_t at = 0; at < count; ++at) bound[static_cast<std::size_t>(at)] = args[at];
  for (Py_ssize_t at = 0; names != nullptr && at < PyTuple_GET_SIZE(names); ++at) {
    const Py_ssize_t which = parameter_of(of, PyTuple_GET_ITEM(names, at));
    if (which < 0) return false;
    PyObject*& value = bound[static_cast<std::size_t>(which)];
    if (value != nullptr) {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", of.method,
                   PyTuple_GET_ITEM(names, at));
      return false;
    }
    value = args[count + at];
  }
  for (Py_ssize_t at = 0; at < of.required; ++at) {
    const auto index = static_cast<std::size_t>(at);
    if (bound[index] != nullptr) continue;
    PyErr_Format(PyExc_TypeError, "%s() missing required argument: '%s'", of.method, of.parameters[index]);
    return false;
  }
  return true;
}

// asyncio's own coroutine, for what is not exactly a socket.socket: an SSLSocket (which it refuses), a class
// that overrides recv() or send(), a stand-in of a test.
PyObject* stock(const state& types, PyObject* self, const signature& of, const values& bound) {
  const py::ref method = py::ref::steal(PyObject_GetAttrString(types.stock_loop.get(), of.method));
  if (!method) return nullptr;
  std::array<PyObject*, 4> vector{self};
  std::size_t count = 1;
  for (PyObject* each : bound) {
    if (each != nullptr) vector[count++] = each;
  }
  return PyObject_Vectorcall(method.get(), vector.data(), count, nullptr);
}

template <const signature& Of>
PyObject* start(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  values bound{};
  if (!bind(Of, args, count, names, bound)) return nullptr;
  state& types = state_of(Py_TYPE(self)).sockets;
  if (reinterpret_cast<PyObject*>(Py_TYPE(bound[0])) != types.socket_class.get()) {
    return stock(types, self, Of, bound);
  }
  return make(types, self, Of.what, bound[0], bound[1], bound[2]);
}

PyObject* forget_socket(PyObject* self, PyObject* number) {
  const int fd = static_cast<int>(PyLong_AsLong(number));
  if (fd < 0 && PyErr_Occurred() != nullptr) return nullptr;
  loops::core_of(self).forget_socket(fd);
  Py_RETURN_NONE;
}

}  // namespace

PyMethodDef loop_methods[] = {
    {"sock_recv", py::as_method(start<recv_signature>), METH_FASTCALL | METH_KEYWORDS,
     "sock_recv(sock, n): receives up to n bytes."},
    {"sock_recv_into", py::as_method(start<recv_into_signature>), METH_FASTCALL | METH_KEYWORDS,
     "sock_recv_into(sock, buf): receives into a writable buffer; gives the number of bytes."},
    {"sock_recvfrom", py::as_method(start<recvfrom_signature>), METH_FASTCALL | METH_KEYWORDS,
     "sock_recvfrom(sock, bufsize): receives a datagram; gives it and its sender's address."},
    {"sock_recvfrom_into", py::as_method(start<recvfrom_into_signature>), METH_FASTCALL | METH_KEYWORDS,
     "sock_recvfrom_into(sock, buf, nbytes=0): receives a datagram into a writable buffer."},
    {"sock_sendall", py::as_method(start<sendall_signature>), METH_FASTCALL | METH_KEYWORDS,
     "sock_sendall(sock, data): sends all of it."},
    {"sock_sendto", py::as_method(start<sendto_signature>), METH_FASTCALL | METH_KEYWORDS,
     "sock_sendto(sock, data, address): sends a datagram; gives the number of bytes."},
    {"sock_accept", py::as_method(start<accept_signature>), METH_FASTCALL | METH_KEYWORDS,
     "sock_accept(sock): accepts a connection; gives its non-blocking socket and the peer's address."},
    {"_sock_wait_writable", py::as_method(start<wait_signature>), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"_forget_socket", forget_socket, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace sockets

void register_sockets(pybind11::module_& core) {
  PyObject* module = core.ptr();  // the function's owner: a reference from it to itself would never go
  sockets::make_type(module);
  core.def(
      "bind_sockets",
      [module](const pybind11::type& socket_class, const pybind11::type& native_socket,
               const pybind11::type& stock_loop) {
        sockets::state& types = state_of(module).sockets;
        types.socket_class = py::ref::borrow(socket_class.ptr());
        types.stock_loop = py::ref::borrow(stock_loop.ptr());
        const auto member = [&](const char* name) {
          return py::ref::borrow(pybind11::object(native_socket.attr(name)).ptr());
        };
        types.family = member("family");
        types.socket_type = member("type");
        types.protocol = member("proto");
      },
      pybind11::arg("socket_class"), pybind11::arg("native_socket"), pybind11::arg("stock_loop"),
      "Makes socket.socket, its C base and asyncio's own loop known to the native socket operations.");
  core.def(
      "make_datagram_transport_type",
      [module](const pybind11::type& base) {
        return pybind11::reinterpret_steal<pybind11::object>(sockets::make_datagram_type(module, base.ptr()));
      },
      pybind11::arg("base"), "Makes the native datagram transport under asyncio's own.");
  core.def(
      "make_read_pipe_transport_type",
      [module](const pybind11::type& base) {
        return pybind11::reinterpret_steal<pybind11::object>(
            sockets::make_read_pipe_type(module, base.ptr()));
      },
      pybind11::arg("base"), "Makes the native transport of a pipe's read end under asyncio's own.");
  core.def(
      "make_write_pipe_transport_type",
      [module](const pybind11::type& base) {
        return pybind11::reinterpret_steal<pybind11::object>(
            sockets::make_write_pipe_type(module, base.ptr()));
      },
      pybind11::arg("base"),
      "Makes the native transport of a pipe's write end under a class on asyncio's own.");
}

}  // namespace triga
