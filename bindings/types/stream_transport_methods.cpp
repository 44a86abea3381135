// SPDX-License-Identifier: MIT
// The transport as Python sees it: its method table and its properties.
#include "bindings/module_state.h"
#include "bindings/types/stream_transport.h"

namespace triga::transports {
namespace {

PyObject* none_if(bool good) { return good ? Py_NewRef(Py_None) : nullptr; }

// _open(loop, sock, extra, server, context): the native part of __init__().
PyObject* transport_open(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 5) {
    PyErr_SetString(PyExc_TypeError, "_open() takes 5 arguments");
    return nullptr;
  }
  transport& native = native_of(self);
  loops::core* core = loops::core_or_error(state_of(Py_TYPE(self)).loop, args[0]);
  if (core == nullptr) return nullptr;
  if (args[2] != Py_None) native.held().extra = py::ref::borrow(args[2]);
  if (!native.open(*core, args[1], args[4])) return nullptr;
  if (args[3] != Py_None) native.held().server = py::ref::borrow(args[3]);
  Py_RETURN_NONE;
}

template <bool (transport::*Method)()>
PyObject* plain(PyObject* self, PyObject*) {
  return none_if((native_of(self).*Method)());
}

template <bool (transport::*Method)(PyObject*)>
PyObject* with_one(PyObject* self, PyObject* argument) {
  return none_if((native_of(self).*Method)(argument));
}

template <void (transport::*Method)()>
PyObject* check(PyObject* self, PyObject*) {
  (native_of(self).*Method)();
  return none_if(PyErr_Occurred() == nullptr);
}

PyObject* transport_abort(PyObject* self, PyObject*) { return none_if(native_of(self).force_close(Py_None)); }

PyObject* transport_add_reader(PyObject* self, PyObject* const*, Py_ssize_t) {
  return none_if(native_of(self).start_reading());
}

PyObject* transport_get_protocol(PyObject* self, PyObject*) {
  PyObject* protocol = native_of(self).held().protocol.get();
  return Py_NewRef(protocol != nullptr ? protocol : Py_None);
}

PyObject* transport_is_closing(PyObject* self, PyObject*) {
  return PyBool_FromLong(native_of(self).stream().is_closing());
}

PyObject* transport_is_reading(PyObject* self, PyObject*) {
  const transport& native = native_of(self);
  return PyBool_FromLong(!native.stream().is_closing() && !native.is_paused());
}

PyObject* transport_get_write_buffer_size(PyObject* self, PyObject*) {
  transport& native = native_of(self);
  return native.send_gathered() ? PyLong_FromSize_t(native.stream().queued_bytes()) : nullptr;
}

PyObject* transport_can_write_eof(PyObject*, PyObject*) { Py_RETURN_TRUE; }

PyObject* transport_get_extra_info(PyObject* self, PyObject* const* args, Py_ssize_t count,
                                   PyObject* keywords) {
  // get_extra_info(name, default=None)
  static constexpr const char* names[] = {"name", "default"};
  PyObject* values[] = {nullptr, Py_None};
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  if (count > 2) {
    return PyErr_Format(PyExc_TypeError, "get_extra_info() takes from 1 to 2 arguments (%zd given)", count);
  }
  for (Py_ssize_t at = 0; at < count; ++at) values[at] = args[at];
  for (Py_ssize_t at = 0; at < named; ++at) {
    PyObject* keyword = PyTuple_GET_ITEM(keywords, at);
    const int which = PyUnicode_CompareWithASCIIString(keyword, names[0]) == 0   ? 0
                      : PyUnicode_CompareWithASCIIString(keyword, names[1]) == 0 ? 1
                                                                                 : -1;
    if (which < 0 || which < count) {
      return PyErr_Format(PyExc_TypeError, "get_extra_info() got an unexpected keyword argument '%U'",
                          keyword);
    }
    values[which] = args[count + at];
  }
  if (values[0] == nullptr) {
    PyErr_SetString(PyExc_TypeError, "get_extra_info() missing 1 required positional argument: 'name'");
    return nullptr;
  }
  // Who asks for the socket may send by it.
  if (!native_of(self).hold_nothing_back() || !native_of(self).describe()) return nullptr;
  const py::ref& extra = native_of(self).held().extra;
  PyObject* value = extra ? PyDict_GetItemWithError(extra.get(), values[0]) : nullptr;
  if (value == nullptr && PyErr_Occurred() != nullptr) return nullptr;
  return Py_NewRef(value != nullptr ? value : values[1]);
}

// ---- properties: asyncio's attributes of the same names
// --------------------------------------------------------------

using object_member = py::ref held_references::*;
using seldom_member = py::ref seldom_held::*;

// The members in the order of the closures below.
constexpr object_member object_members[] = {&held_references::loop, &held_references::protocol,
                                            &held_references::extra, &held_references::server};
constexpr seldom_member seldom_members[] = {&seldom_held::empty_waiter, &seldom_held::high_water,
                                            &seldom_held::low_water};

object_member member_of(void* closure) { return object_members[reinterpret_cast<std::uintptr_t>(closure)]; }

seldom_member seldom_of(void* closure) { return seldom_members[reinterpret_cast<std::uintptr_t>(closure)]; }

void* closure_of(std::uintptr_t index) noexcept { return reinterpret_cast<void*>(index); }

PyObject* or_none(PyObject* object) noexcept { return Py_NewRef(object != nullptr ? object : Py_None); }

py::ref unless_none(PyObject* value) noexcept {
  return value != Py_None ? py::ref::borrow(value) : py::ref();
}

PyObject* get_object(PyObject* self, void* closure) {
  return or_none((native_of(self).held().*member_of(closure)).get());
}

int set_object(PyObject* self, PyObject* value, void* closure) {
  native_of(self).held().*member_of(closure) = unless_none(value);
  return 0;
}

PyObject* get_sock(PyObject* self, void*) {
  const py::ref sock = native_of(self).sock();
  return PyErr_Occurred() == nullptr ? or_none(sock.get()) : nullptr;
}

int set_sock(PyObject* self, PyObject* value, void*) {
  return native_of(self).set_sock(value != nullptr ? value : Py_None) ? 0 : -1;
}

PyObject* get_empty_waiter(PyObject* self, void* closure) {
  return or_none(native_of(self).find(seldom_of(closure)));
}

int set_empty_waiter(PyObject* self, PyObject* value, void* closure) {
  native_of(self).seldom().*seldom_of(closure) = unless_none(value);
  const bool is_for_sendfile = seldom_of(closure) == &seldom_held::empty_waiter && value != Py_None;
  if (is_for_sendfile && native_of(self).is_paused()) native_of(self).leave_descriptor();
  return 0;
}

PyObject* get_context(PyObject* self, void*) { return or_none(native_of(self).context()); }

PyObject* get_water_mark(PyObject* self, void* closure) {
  const seldom_member mark = seldom_of(closure);
  if (PyObject* object = native_of(self).find(mark)) return Py_NewRef(object);
  constexpr std::size_t high = net::stream::default_high_water;
  return PyLong_FromSize_t(mark == &seldom_held::high_water ? high : high / 4);
}

int set_water_mark(PyObject* self, PyObject* value, void* closure) {
  if (value == nullptr) {
    PyErr_SetString(PyExc_AttributeError, "a water mark cannot be deleted");
    return -1;
  }
  return native_of(self).set_water_mark(seldom_of(closure), value) ? 0 : -1;
}

template <bool (transport::*Question)() const noexcept>
PyObject* answer(PyObject* self, void*) {
  return PyBool_FromLong((native_of(self).*Question)());
}

template <bool (net::stream::*Question)() const noexcept>
PyObject* stream_answer(PyObject* self, void*) {
  return PyBool_FromLong((native_of(self).stream().*Question)());
}

PyObject* get_extra(PyObject* self, void* closure) {
  return native_of(self).describe() ? get_object(self, closure) : nullptr;
}

PyObject* get_fd(PyObject* self, void*) { return PyLong_FromLong(native_of(self).stream().fd()); }

PyObject* get_conn_lost(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(native_of(self).lost_writes());
}

// What reads when the descriptor is ready: None once nothing will be read any more.
PyObject* get_read_ready_cb(PyObject* self, void*) {
#if PY_VERSION_HEX >= 0x030C0000
  if (native_of(self).stream().is_closing()) Py_RETURN_NONE;
#endif
  return PyObject_GetAttrString(self, "_read_ready");
}

}  // namespace

PyMethodDef transport_methods[] = {
    {"_open", reinterpret_cast<PyCFunction>(transport_open), METH_FASTCALL, nullptr},
    {"write", with_one<&transport::write>, METH_O,
     "Writes some data bytes to the transport: at once what the kernel takes, the rest in the background."},
    {"writelines", with_one<&transport::writelines>, METH_O,
     "Writes a list (or any iterable) of data bytes."},
    {"write_eof", plain<&transport::write_eof>, METH_NOARGS,
     "Closes the write end after the buffered data is sent."},
    {"can_write_eof", transport_can_write_eof, METH_NOARGS, "True: write_eof() is supported."},
    {"close", plain<&transport::close>, METH_NOARGS, "Closes the transport after the buffered data is sent."},
    {"abort", transport_abort, METH_NOARGS, "Closes the transport at once; buffered data is lost."},
    {"is_closing", transport_is_closing, METH_NOARGS, "True if the transport is closing or closed."},
    {"is_reading", transport_is_reading, METH_NOARGS, "True if the transport is receiving."},
    {"pause_reading", plain<&transport::pause_reading>, METH_NOARGS, "Pauses the receiving end."},
    {"resume_reading", plain<&transport::resume_reading>, METH_NOARGS, "Resumes the receiving end."},
    {"set_protocol", with_one<&transport::set_protocol>, METH_O, "Sets a new protocol."},
    {"get_protocol", transport_get_protocol, METH_NOARGS, "The current protocol."},
    {"get_extra_info", reinterpret_cast<PyCFunction>(transport_get_extra_info), METH_FASTCALL | METH_KEYWORDS,
     "Optional transport information: 'socket', 'sockname', 'peername'."},
    {"get_write_buffer_size", transport_get_write_buffer_size, METH_NOARGS,
     "How many bytes wait to be sent."},
    {"_add_reader", reinterpret_cast<PyCFunction>(transport_add_reader), METH_FASTCALL, nullptr},
    {"_read_ready", check<&transport::read_once>, METH_NOARGS, nullptr},
    {"_force_close", with_one<&transport::force_close>, METH_O, nullptr},
    {"_call_connection_lost", with_one<&transport::call_connection_lost>, METH_O, nullptr},
    {"_maybe_pause_protocol", check<&transport::check_high_water>, METH_NOARGS, nullptr},
    {"_maybe_resume_protocol", check<&transport::check_low_water>, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef transport_properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {"_loop", get_object, set_object, nullptr, closure_of(0)},
    {"_sock", get_sock, set_sock, nullptr, nullptr},
    {"_protocol", get_object, set_object, nullptr, closure_of(1)},
    {"_extra", get_extra, set_object, nullptr, closure_of(2)},
    {"_server", get_object, set_object, nullptr, closure_of(3)},
    {"_empty_waiter", get_empty_waiter, set_empty_waiter, nullptr, closure_of(0)},
    {"_context", get_context, nullptr, nullptr, nullptr},
    {"_high_water", get_water_mark, set_water_mark, nullptr, closure_of(1)},
    {"_low_water", get_water_mark, set_water_mark, nullptr, closure_of(2)},
    {"_sock_fd", get_fd, nullptr, nullptr, nullptr},
    {"_paused", answer<&transport::is_paused>, nullptr, nullptr, nullptr},
    {"_protocol_connected", answer<&transport::is_protocol_connected>, nullptr, nullptr, nullptr},
    {"_closing", stream_answer<&net::stream::is_closing>, nullptr, nullptr, nullptr},
    {"_eof", stream_answer<&net::stream::writing_shut_down>, nullptr, nullptr, nullptr},
    {"_protocol_paused", stream_answer<&net::stream::writing_paused>, nullptr, nullptr, nullptr},
    {"_polls_reading", answer<&transport::polls_reading>, nullptr, nullptr, nullptr},
    {"_polls_writing", stream_answer<&net::stream::watches_writing>, nullptr, nullptr, nullptr},
    {"_conn_lost", get_conn_lost, nullptr, nullptr, nullptr},
    {"_read_ready_cb", get_read_ready_cb, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

}  // namespace triga::transports
