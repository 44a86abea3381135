// SPDX-License-Identifier: MIT
// How a transport ends, and where its errors go.
#include "bindings/py/raised.h"
#include "bindings/types/stream_transport.h"

namespace triga::transports {

bool transport::close() {
  if (!hold_nothing_back()) return false;
  const bool over = stream_.close();
  settle_keeping();
  if (!over) return true;
  ++lost_writes_;
  return schedule_connection_lost(Py_None);
}

bool transport::force_close(PyObject* reason) {
  if (!hold_nothing_back()) return false;
  const bool over = stream_.abort();
  settle_keeping();
  if (!over) return true;
  ++lost_writes_;
  return schedule_connection_lost(reason);
}

// By way of the object's attribute and the loop's call_soon(), so that debug mode and exception reports see
// asyncio's names.
bool transport::schedule_connection_lost(PyObject* reason) {
  const py::ref callback = py::ref::steal(PyObject_GetAttr(self(), types_.names.call_connection_lost.get()));
  if (!callback) return false;
  if (!context_)
    return static_cast<bool>(call_method(held().loop.get(), types_.names.call_soon, callback.get(), reason));
  const py::ref name = py::ref::steal(PyUnicode_InternFromString("context"));
  const py::ref names = name ? py::ref::steal(PyTuple_Pack(1, name.get())) : py::ref();
  if (!names) return false;
  PyObject* arguments[] = {held().loop.get(), callback.get(), reason, context_.get()};
  return static_cast<bool>(
      py::ref::steal(PyObject_VectorcallMethod(types_.names.call_soon.get(), arguments, 3, names.get())));
}

// After a close() that had to wait for the queue: asyncio tells the protocol from the same callback.
void transport::closed() {
  py::ref before = py::take_raised();
  ++lost_writes_;
  (void)call_connection_lost(Py_None);
  if (before) py::raise_again(std::move(before));
}

// The last of connection_lost(): the server and whoever waits for the queue to empty learn of it.
bool transport::leave_server() {
  if (find(&seldom_held::empty_waiter) != nullptr) {
    return static_cast<bool>(call_method(self(), types_.names.release));
  }
  if (!held().server) return true;
#if PY_VERSION_HEX >= 0x030D0000
  const py::ref left = call_method(held().server.get(), types_.names.detach_from_server, self());
#else
  const py::ref left = call_method(held().server.get(), types_.names.detach_from_server);
#endif
  if (left) held().server.reset();
  return static_cast<bool>(left);
}

// Nobody can ask anything of it any more: only the callback that ends it and its caller here have it.
bool transport::is_forgotten() noexcept {
  constexpr Py_ssize_t of_the_call = 2;
  const auto* object = reinterpret_cast<const transport_object*>(self());
  return Py_REFCNT(self()) == of_the_call && object->weak_references == nullptr;
}

bool transport::call_connection_lost(PyObject* reason) {
  const py::ref alive = py::ref::borrow(self());
  if (protocol_connected_) (void)call_method(held().protocol.get(), types_.names.connection_lost, reason);
  // What the protocol raised comes first; the rest is asyncio's finally block.
  py::ref raised = py::take_raised();
  const bool named = is_forgotten() || note_own_name();
  py::ref unnamed = named ? py::ref() : py::take_raised();
  leave_loop();
  close_sock();
  py::ref first = py::take_raised();
  if (!described_ && held().sock) seldom().closed_sock = held().sock;
  held().sock.reset();
  held().protocol.reset();
  held().loop.reset();
  (void)leave_server();
  for (py::ref* each : {&unnamed, &first, &raised}) {
    if (*each) py::raise_again(std::move(*each));
  }
  return PyErr_Occurred() == nullptr;
}

// From an exception handler in asyncio: the exception that is set ends the transport. SystemExit and
// KeyboardInterrupt stay set instead, for the loop's caller.
void transport::fatal(const char* message) {
  if (must_propagate()) return;
  const py::ref error = py::take_raised();
  const py::ref text = py::ref::steal(PyUnicode_FromString(message));
  if (text) (void)call_method(self(), types_.names.fatal_error, error.get(), text.get());
}

void transport::flow_control_failed(const char* message) {
  if (must_propagate()) return;
  const py::ref error = py::take_raised();
  const py::ref text = py::ref::steal(PyUnicode_FromString(message));
  PyObject* to_loop = held().loop ? held().loop.get() : Py_None;
  if (text) (void)call_method(self(), types_.names.report, to_loop, error.get(), text.get());
}

void transport::log_debug(const char* message) {
  const py::ref debug = call_method(held().loop.get(), types_.names.get_debug);
  if (!debug || PyObject_IsTrue(debug.get()) != 1) return;
  const py::ref text = py::ref::steal(PyUnicode_FromString(message));
  if (text) (void)call_method(self(), types_.names.debug, text.get());
}

}  // namespace triga::transports
