// SPDX-License-Identifier: MIT
// LoopBase: how a server takes its connections, a batch for each report, without a task, a socket object or a
// handle for each.
#include <poll.h>

#include <cerrno>
#include <cstddef>
#include <optional>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/py/method.h"
#include "bindings/types/loop.h"
#include "bindings/types/socket_operation.h"
#include "bindings/types/stream_transport.h"
#include "runtime/base/unique_fd.h"
#include "runtime/net/listener.h"

namespace triga::loops {
namespace {

using sockets::attempt;

// What all connections of a batch have in common. Borrowed references.
struct serving {
  PyObject* loop;
  PyObject* protocol_factory;
  PyObject* server;   // or None
  PyObject* context;  // the server's, from 3.15 on; or None
  module_state& types;
  sockets::socket_parameters parameters;  // of the listening socket, and so of each connection
  bool socket_at_once;                    // somebody is told of every new socket object
};

// Who is to be accepted next to the first, of whom the report tells. The kernel makes a file and a socket
// before it looks who waits, so that an accept4(2) in vain costs as much as another.
class queue_of_listener {
 public:
  explicit queue_of_listener(int listener) noexcept : listener_(listener) {}

  // Does somebody wait? Perhaps: an error is accept4's to tell, and who left again is not known here.
  [[nodiscard]] bool has_another() noexcept {
    if (first_) {
      first_ = false;
      return true;
    }
    if (!asked_) {
      asked_ = true;
      const auto waiting = net::waiting_connections(listener_);
      counted_ = waiting.has_value();
      left_ = waiting.value_or(0);
    }
    if (counted_) {
      if (left_ == 0) return false;
      --left_;
      return true;
    }
    pollfd asked{.fd = listener_, .events = POLLIN, .revents = 0};
    return ::poll(&asked, 1, 0) != 0;
  }

 private:
  int listener_;
  bool first_ = true;
  bool asked_ = false;
  bool counted_ = false;  // then there are
  std::size_t left_ = 0;  // of those who waited when the first had been accepted
};

PyObject* note_hook(void* seen) {
  *static_cast<bool*>(seen) = true;
  PyErr_SetNone(PyExc_RuntimeError);
  return nullptr;
}

// Does an audit hook hear of "socket.__new__"? The event's arguments are made only if there is one, and where
// they cannot be made it is not told of anything.
bool is_audited() {
  bool seen = false;
  if (PySys_Audit("socket.__new__", "O&", note_hook, static_cast<void*>(&seen)) != 0) PyErr_Clear();
  return seen;
}

// A context with the current one's variables for the time of one connection's making: the spare one of
// context_cache if that is possible.
class own_context {
 public:
  own_context(handles::context_cache& contexts, PyObject* given) : contexts_(contexts) {
    if (given == Py_None) snapshot_ = contexts.snapshot();
    if (snapshot_) {
      entered_ = contexts.enterable(snapshot_.get());
    } else {
      entered_ = py::ref::steal(given == Py_None ? PyContext_CopyCurrent() : PyContext_Copy(given));
    }
    if (entered_ && PyContext_Enter(entered_.get()) != 0) entered_.reset();
  }
  own_context(const own_context&) = delete;
  own_context& operator=(const own_context&) = delete;
  own_context(own_context&&) = delete;
  own_context& operator=(own_context&&) = delete;
  ~own_context() {
    if (!entered_) return;
    (void)PyContext_Exit(entered_.get());
    if (snapshot_) (void)contexts_.give_back(entered_, snapshot_.get());
  }

  [[nodiscard]] PyObject* get() const noexcept { return entered_.get(); }  // null: an exception is set

 private:
  handles::context_cache& contexts_;
  py::ref snapshot_, entered_;
};

// As loop.call_soon(callback, argument), of which nobody wants a handle; `context` as there, or null.
bool queue_without_handle(core& loop, PyObject* callback, PyObject* argument, PyObject* context) {
  std::uintptr_t form = 0;
  py::ref in = py::ref::borrow(context);
  if (!in) {
    in = loop.handles().contexts.snapshot();
    form = in ? handles::bare_callback::with_snapshot : 0;
  }
  if (!in) in = py::ref::steal(PyContext_CopyCurrent());
  if (!in) return false;
  loop.loop().call_soon(
      handles::bare_callback(Py_NewRef(callback), Py_XNewRef(argument), in.release(), form).packed());
  return true;
}

// RuntimeError: a transport that is not closing has the descriptor.
bool make_way(PyObject* self, int fd) {
  core& loop = core_of(self);
  const py::ref others = py::ref::steal(PyObject_GetAttrString(self, "_other_transports"));
  if (!others) return false;
  const bool in_use = loop.transports().find(fd) != nullptr || PyObject_Size(others.get()) != 0;
  if (in_use && !py::ref::steal(PyObject_CallMethod(self, "_ensure_fd_no_transport", "i", fd))) return false;
  loop.forget_socket(fd);
  return PyErr_Occurred() == nullptr;
}

bool attach(const serving& to, PyObject* transport) {
  if (to.server == Py_None) return true;
  transports::native_of(transport).held().server = py::ref::borrow(to.server);
  const py::ref& name = to.types.transports.names.attach_to_server;
#if PY_VERSION_HEX >= 0x030D0000
  return static_cast<bool>(transports::call_method(to.server, name, transport));
#else
  return static_cast<bool>(transports::call_method(to.server, name));
#endif
}

// As _make_socket_transport(), for a connection with a protocol.
bool make_transport(const serving& to, unique_fd connection, const net::address& peer, PyObject* protocol,
                    PyObject* context) {
  core& loop = core_of(to.loop);
  const transports::state& types = to.types.transports;
  if (!make_way(to.loop, connection.get())) return false;
  const py::ref made = transports::new_transport(types);
  if (!made) return false;
  transports::transport& native = transports::native_of(made.get());
  if (!native.open_accepted(loop, std::move(connection), to.parameters, context, peer)) return false;
  if (to.socket_at_once && !native.sock()) return false;
  if (!native.set_protocol(protocol) || !attach(to, made.get())) return false;
  const py::ref connection_made =
      py::ref::steal(PyObject_GetAttr(protocol, types.names.connection_made.get()));
  const py::ref add_reader = py::ref::steal(PyObject_GetAttr(made.get(), types.names.add_reader.get()));
  return connection_made && add_reader &&
         queue_without_handle(loop, connection_made.get(), made.get(), context) &&
         queue_without_handle(loop, add_reader.get(), nullptr, context);
}

// False with an exception set: SystemExit or KeyboardInterrupt. What else fails ends the connection, in
// silence: asyncio tells of it in debug mode only.
bool serve(const serving& to, unique_fd connection, const net::address& peer) {
  bool good = false;
  {
    const own_context own(to.types.loop.handles.contexts, to.context);
    const py::ref protocol =
        own.get() != nullptr ? py::ref::steal(PyObject_CallNoArgs(to.protocol_factory)) : py::ref();
    good = protocol && make_transport(to, std::move(connection), peer, protocol.get(),
                                      to.context != Py_None ? own.get() : nullptr);
  }
  if (good) return true;
  if (transports::must_propagate()) return false;
  PyErr_Clear();
  return true;
}

// _serve_waiting(protocol_factory, sock, server, backlog, context): makes transports of those who wait at a
// listening socket.socket, `backlog` at most. 0, or after an error how many there might have been yet:
// asyncio's own code meets the error again, and knows whom to tell.
PyObject* serve_waiting(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 5) return PyErr_Format(PyExc_TypeError, "_serve_waiting() takes 5 arguments");
  module_state& types = state_of(Py_TYPE(self));
  long backlog = PyLong_AsLong(args[3]);
  if (backlog == -1 && PyErr_Occurred() != nullptr) return nullptr;
  const int listener = PyObject_AsFileDescriptor(args[1]);
  if (listener < 0) return nullptr;
  const auto parameters = sockets::parameters_of(types.sockets, args[1]);
  if (!parameters) return nullptr;
  if (!transports::transport::knows(*parameters)) return PyLong_FromLong(backlog);
  const serving to{.loop = self,
                   .protocol_factory = args[0],
                   .server = args[2],
                   .context = args[4],
                   .types = types,
                   .parameters = *parameters,
                   .socket_at_once = is_audited()};
  queue_of_listener queue(listener);
  while (backlog > 0 && queue.has_another()) {
    unique_fd connection;
    net::address peer;
    const attempt outcome = sockets::accept_descriptor(listener, connection, peer);
    if (outcome == attempt::would_block) break;
    if (outcome == attempt::failed && errno != ECONNABORTED) return PyLong_FromLong(backlog);
    --backlog;
    if (outcome == attempt::done && !serve(to, std::move(connection), peer)) return nullptr;
  }
  return PyLong_FromLong(0);
}

// _queues_natively(): call_soon() is LoopBase's, neither a subclass's nor one that was assigned to the loop.
PyObject* queues_natively(PyObject* self, PyObject*) {
  const py::ref method =
      py::ref::steal(PyObject_GetAttr(self, state_of(Py_TYPE(self)).transports.names.call_soon.get()));
  if (!method) return nullptr;
  return PyBool_FromLong(PyCFunction_Check(method.get()) &&
                         PyCFunction_GET_FUNCTION(method.get()) == schedule_methods[0].ml_meth);
}

}  // namespace

PyMethodDef accept_methods[] = {
    {"_serve_waiting", py::as_method(serve_waiting), METH_FASTCALL, nullptr},
    {"_queues_natively", queues_natively, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga::loops
