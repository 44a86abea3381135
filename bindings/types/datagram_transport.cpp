// SPDX-License-Identifier: MIT
// asyncio's datagram transport with native receiving and sending.
#include "bindings/types/datagram_transport.h"

#include <Python.h>
#include <sys/socket.h>

#include <cerrno>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/py/raised.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/socket_address.h"
#include "bindings/types/socket_operation.h"
#include "runtime/trace/counters.h"

namespace triga::sockets {
namespace {

// Datagrams of one readiness report: as many as are there, up to what keeps a turn short. Each report costs
// the loop a turn; asyncio pays it for every datagram.
constexpr int most_per_report = 32;

py::ref attribute(PyObject* self, const py::ref& name) {
  return py::ref::steal(PyObject_GetAttr(self, name.get()));
}

// Is the attribute true? -1: an exception is set.
int truth(PyObject* self, const py::ref& name) {
  const py::ref value = attribute(self, name);
  return value ? PyObject_IsTrue(value.get()) : -1;
}

int descriptor(PyObject* self, const method_names& names) {
  const py::ref fd = attribute(self, names.sock_fd);
  return fd ? static_cast<int>(PyLong_AsLong(fd.get())) : -1;
}

bool call_protocol(PyObject* self, const state& types, const py::ref& method, PyObject* first,
                   PyObject* second) {
  const py::ref protocol = attribute(self, types.names.protocol_attribute);
  PyObject* vector[] = {protocol.get(), first, second};
  return protocol &&
         py::ref::steal(PyObject_VectorcallMethod(method.get(), vector, second != nullptr ? 3 : 2, nullptr));
}

// An error of the socket is the protocol's to hear of; it ends nothing.
bool tell_error(PyObject* self, const state& types, int error) {
  errno = error;
  PyErr_SetFromErrno(PyExc_OSError);
  const py::ref raised = py::take_raised();
  return call_protocol(self, types, types.names.error_received, raised.get(), nullptr);
}

py::ref address_of(state& types, const net::address& from) {
  const bool internet = from.family() == AF_INET || from.family() == AF_INET6;
  return internet && !from.empty() ? types.addresses.tuple_of(from) : to_python(from);
}

enum class received { one, none, failed };

received receive(PyObject* self, state& types, int fd) {
  net::address from;
  sockaddr* where = from.to_fill();
  const ssize_t count =
      ::recvfrom(fd, read_memory(types), transports::most_per_read, MSG_DONTWAIT, where, from.size_to_fill());
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return received::none;
    return tell_error(self, types, errno) ? received::one : received::failed;
  }
  trace::count(trace::counter::datagrams_read);
  trace::count(trace::counter::bytes_read, static_cast<std::uint64_t>(count));
  const py::ref data =
      py::ref::steal(PyBytes_FromStringAndSize(reinterpret_cast<const char*>(read_memory(types)), count));
  const py::ref address = data ? address_of(types, from) : py::ref();
  const bool told =
      address && call_protocol(self, types, types.names.datagram_received, data.get(), address.get());
  return told ? received::one : received::failed;
}

// Whether more is to be given to the protocol in this turn: it may have closed or paused the transport, which
// takes its reader off the loop. To look there costs less than to read two attributes.
class reading {
 public:
  // False: an exception is set.
  bool begin(PyObject* self, module_state& types, int fd) {
    loop_ = attribute(self, types.sockets.names.loop);
    if (!loop_) return false;
    if (PyObject_TypeCheck(loop_.get(), types.loop.base.type())) {
      watch_ = loops::core_of(loop_.get()).find_watch(fd);
    }
    if (watch_ != nullptr) reader_ = watch_->reader;
    return true;
  }
  [[nodiscard]] bool goes_on() const noexcept {
    return watch_ != nullptr && reader_ && watch_->reader.get() == reader_.get();
  }

 private:
  py::ref loop_;  // which owns the watch
  const loops::descriptor_watch* watch_ = nullptr;
  py::ref reader_;
};

PyObject* read_ready(PyObject* self, PyTypeObject* type, PyObject* const*, Py_ssize_t, PyObject*) {
  state& types = state_of(type).sockets;
  const int lost = truth(self, types.names.conn_lost);
  if (lost < 0) return nullptr;
  if (lost == 1) Py_RETURN_NONE;
  const int fd = descriptor(self, types.names);
  if (fd < 0 && PyErr_Occurred() != nullptr) return nullptr;
  reading state_of_reading;
  if (!state_of_reading.begin(self, state_of(type), fd)) return nullptr;
  for (int count = 0; count < most_per_report; ++count) {
    if (count > 0 && !state_of_reading.goes_on()) break;
    const received outcome = receive(self, types, fd);
    if (outcome == received::failed) return nullptr;
    if (outcome == received::none) break;
  }
  Py_RETURN_NONE;
}

// Everything but the plain case is asyncio's: fixed addresses, the end, what is queued already, wrong
// arguments.
PyObject* stock_sendto(PyObject* self, const state& types, PyObject* data, PyObject* address) {
  PyObject* vector[] = {self, data, address};
  return PyObject_Vectorcall(types.stock_sendto.get(), vector, 3, nullptr);
}

// What asyncio's attributes say once and for all, read at the first datagram that is sent.
struct fixed_fields {
  bool known;
  bool has_address;  // it was given one at its making, and only that one will do
  bool connected;    // nothing is sent with an address
  int fd;
};

fixed_fields& fixed(PyObject* self, const state& types) noexcept {
  return *reinterpret_cast<fixed_fields*>(reinterpret_cast<char*>(self) + types.datagram_fields_at);
}

// False: an exception is set, or asyncio's code is to say what is the matter.
bool learn(PyObject* self, const method_names& names, fixed_fields& into) {
  const py::ref extra = attribute(self, names.extra);
  if (!extra || !PyDict_CheckExact(extra.get())) return false;
  PyObject* peer = PyDict_GetItemWithError(extra.get(), names.peername.get());
  if (peer == nullptr) return false;
  const int has_peer = PyObject_IsTrue(peer);
  const int has_address = truth(self, names.address);
  if (has_peer < 0 || has_address < 0) return false;
  const int fd = descriptor(self, names);
  if (fd < 0) return false;
  into = {.known = true, .has_address = has_address == 1, .connected = has_peer == 1, .fd = fd};
  return true;
}

// May a datagram go to the kernel as it is? -1: an exception is set.
int is_plain(PyObject* self, const state& types, PyObject* data, PyObject* address) {
  if (!PyBytes_CheckExact(data) || PyBytes_GET_SIZE(data) == 0) return 0;
  for (const py::ref* each : {&types.names.buffer, &types.names.conn_lost}) {
    if (const int set = truth(self, *each); set != 0) return set < 0 ? -1 : 0;
  }
  fixed_fields& fields = fixed(self, types);
  if (!fields.known && !learn(self, types.names, fields)) return PyErr_Occurred() != nullptr ? -1 : 0;
  return address == Py_None ? fields.connected : !fields.has_address;
}

PyObject* send_plain(PyObject* self, state& types, PyObject* data, PyObject* address) {
  const bool connected = fixed(self, types).connected;
  const net::address* to = connected ? nullptr : types.addresses.address_of(address);
  net::address made;
  if (!connected && to == nullptr) {
    const py::ref sock = attribute(self, types.names.sock);
    if (!sock) return nullptr;
    const int family = reinterpret_cast<PyObject*>(Py_TYPE(sock.get())) == types.socket_class.get()
                           ? family_of(types, sock.get())
                           : AF_UNSPEC;
    const parsed read = from_python(family, address, made);
    if (read == parsed::failed) return nullptr;
    if (read == parsed::no) return stock_sendto(self, types, data, address);
    to = &made;
  }
  const ssize_t sent = ::sendto(fixed(self, types).fd, PyBytes_AS_STRING(data),
                                static_cast<std::size_t>(PyBytes_GET_SIZE(data)), MSG_NOSIGNAL | MSG_DONTWAIT,
                                to != nullptr ? to->get() : nullptr, to != nullptr ? to->size() : 0);
  if (sent < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
      return stock_sendto(self, types, data, address);  // tries once more, then queues it
    }
    if (!tell_error(self, types, errno)) return nullptr;
    Py_RETURN_NONE;
  }
  trace::count(trace::counter::datagrams_sent);
  trace::count(trace::counter::bytes_written, static_cast<std::uint64_t>(sent));
  Py_RETURN_NONE;
}

PyObject* sendto(PyObject* self, PyTypeObject* type, PyObject* const* args, Py_ssize_t count,
                 PyObject* names) {
  state& types = state_of(type).sockets;
  if (!loops::check_process_of_transport(state_of(type).loop, self)) return nullptr;
  PyObject* address = count > 1 ? args[1] : Py_None;
  if (count < 1 || count > 2 || (names != nullptr && PyTuple_GET_SIZE(names) > 0)) {
    // Keywords, or an error: asyncio's function has the parameters.
    const py::ref method =
        py::ref::steal(PyObject_CallMethod(types.stock_sendto.get(), "__get__", "O", self));
    if (!method) return nullptr;
    return PyObject_Vectorcall(method.get(), args, static_cast<std::size_t>(count), names);
  }
  const int plain = is_plain(self, types, args[0], address);
  if (plain < 0) return nullptr;
  if (plain == 0) return stock_sendto(self, types, args[0], address);
  return send_plain(self, types, args[0], address);
}

PyMethodDef datagram_methods[] = {
    {"_read_ready", py::as_method(read_ready), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"sendto", py::as_method(sendto), METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     "sendto(data, addr=None): sends a datagram now, or in the background what the kernel does not take."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot datagram_slots[] = {
    {Py_tp_doc, const_cast<char*>("A datagram socket of triga's event loop.")},
    {Py_tp_methods, datagram_methods},
    {0, nullptr},
};

}  // namespace

PyObject* make_datagram_type(PyObject* core, PyObject* base) {
  state& types = state_of(core).sockets;
  types.stock_sendto = py::ref::steal(PyObject_GetAttrString(base, "sendto"));
  types.datagram_fields_at = reinterpret_cast<PyTypeObject*>(base)->tp_basicsize;
  PyType_Spec spec = {
      .name = "asyncio.selector_events._SelectorDatagramTransport",
      .basicsize = static_cast<int>(types.datagram_fields_at + Py_ssize_t{sizeof(fixed_fields)}),
      .itemsize = 0,
      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
      .slots = datagram_slots,
  };
  const py::ref bases = py::ref::steal(PyTuple_Pack(1, base));
  PyObject* type = bases && types.stock_sendto ? PyType_FromModuleAndSpec(core, &spec, bases.get()) : nullptr;
  if (type == nullptr) py::throw_raised();
  return type;
}

}  // namespace triga::sockets
