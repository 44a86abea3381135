// SPDX-License-Identifier: MIT
// The StreamReader: its fields, what feeds it and how it keeps the transport from sending more.
#include "bindings/types/stream_reader.h"

#include <structmember.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "bindings/py/arguments.h"
#include "bindings/py/method.h"
#include "bindings/types/stream_call.h"
#include "bindings/types/stream_types.h"

namespace triga::streams {
namespace {

PyObject* none_if(bool good) { return good ? Py_NewRef(Py_None) : nullptr; }

// A limit is any number; what counts is how many bytes are below it.
std::size_t whole_bytes(double bytes) noexcept {
  return bytes >= 9e18 ? SIZE_MAX : bytes <= 0 ? 0 : static_cast<std::size_t>(std::floor(bytes));
}

bool set_limit(reader_object& self, PyObject* limit) {
  const double bytes = PyFloat_AsDouble(limit);
  if (PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError) == 0) return false;
    PyErr_Clear();
    self.low_water = self.high_water = SIZE_MAX;
  } else {
    self.low_water = whole_bytes(bytes);
    self.high_water = whole_bytes(2 * bytes);
  }
  Py_XSETREF(self.limit, Py_NewRef(limit));
  return true;
}

// ---- life

PyObject* reader_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) new (reader_of(self).received) stream_buffer;
  return self;
}

// Without a loop, and in debug mode, asyncio's own __init__() finds the loop and the traceback, and sets the
// fields.
int reader_init_by_asyncio(state& types, PyObject* self, PyObject* args, PyObject* keywords) {
  const py::ref init = py::ref::steal(PyObject_GetAttr(types.stock_reader.get(), types.names.init.get()));
  const Py_ssize_t count = PyTuple_GET_SIZE(args);
  const py::ref all = init ? py::ref::steal(PyTuple_New(count + 1)) : py::ref();
  if (!all) return -1;
  PyTuple_SET_ITEM(all.get(), 0, Py_NewRef(self));
  for (Py_ssize_t at = 0; at < count; ++at) {
    PyTuple_SET_ITEM(all.get(), at + 1, Py_NewRef(PyTuple_GET_ITEM(args, at)));
  }
  return py::ref::steal(PyObject_Call(init.get(), all.get(), keywords)) ? 0 : -1;
}

// The loop of a call that needs nothing but the fields set; null: there is none or it is in debug mode.
PyObject* plain_loop(state& types, PyObject* loop) {
  if (loop == nullptr || loop == Py_None) return nullptr;
  const py::ref debug = call_method(loop, types.names.get_debug);
  const int truth = debug ? PyObject_IsTrue(debug.get()) : -1;
  PyErr_Clear();  // asyncio's own code meets it, too
  return truth == 0 ? loop : nullptr;
}

int reader_init(PyObject* self, PyObject* args, PyObject* keywords) {
  state& types = types_of(self);
  static const char* names[] = {"limit", "loop", nullptr};
  PyObject* limit = types.default_limit.get();
  PyObject* loop = nullptr;
  if (PyArg_ParseTupleAndKeywords(args, keywords, "|OO:StreamReader", const_cast<char**>(names), &limit,
                                  &loop) == 0) {
    return -1;
  }
  loop = plain_loop(types, loop);
  if (loop == nullptr || !PyLong_CheckExact(limit))
    return reader_init_by_asyncio(types, self, args, keywords);
  const long long bytes = PyLong_AsLongLong(limit);
  if (bytes == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return reader_init_by_asyncio(types, self, args, keywords);
  }
  if (bytes <= 0) {
    PyErr_SetString(PyExc_ValueError, "Limit cannot be <= 0");
    return -1;
  }
  reader_object& reader = reader_of(self);
  Py_XSETREF(reader.loop, Py_NewRef(loop));
  return set_limit(reader, limit) ? 0 : -1;
}

int reader_traverse(PyObject* self, visitproc visit, void* arg) {
  reader_object& reader = reader_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(reader.limit);
  Py_VISIT(reader.loop);
  Py_VISIT(reader.waiter);
  Py_VISIT(reader.exception);
  Py_VISIT(reader.transport);
  return 0;
}

int reader_clear(PyObject* self) {
  reader_object& reader = reader_of(self);
  Py_CLEAR(reader.limit);
  Py_CLEAR(reader.loop);
  Py_CLEAR(reader.waiter);
  Py_CLEAR(reader.exception);
  Py_CLEAR(reader.transport);
  return 0;
}

void reader_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  reader_clear(self);
  reader_of(self).buffer().~stream_buffer();
  type->tp_free(self);
  Py_DECREF(type);
}

// ---- methods

PyObject* reader_feed_data(PyObject* self, PyObject* data) {
  return none_if(feed_data(types_of(self), self, data));
}

PyObject* reader_feed_eof(PyObject* self, PyObject*) {
  reader_of(self).eof = 1;
  return none_if(wake_waiter(types_of(self), reader_of(self)));
}

PyObject* reader_at_eof(PyObject* self, PyObject*) {
  reader_object& reader = reader_of(self);
  return PyBool_FromLong(reader.eof != 0 && reader.buffer().size() == 0);
}

PyObject* reader_exception(PyObject* self, PyObject*) {
  PyObject* exception = reader_of(self).exception;
  return Py_NewRef(exception != nullptr ? exception : Py_None);
}

PyObject* reader_set_exception(PyObject* self, PyObject* exception) {
  state& types = types_of(self);
  reader_object& reader = reader_of(self);
  Py_XSETREF(reader.exception, Py_NewRef(exception));
  const py::ref waiter = py::ref::steal(std::exchange(reader.waiter, nullptr));
  if (!waiter || waiter.get() == Py_None) Py_RETURN_NONE;
  const int over = ask(waiter.get(), types.names.cancelled);
  if (over < 0) return nullptr;
  return none_if(over == 1 || call_method(waiter.get(), types.names.set_exception, exception));
}

PyObject* reader_set_transport(PyObject* self, PyObject* transport) {
  reader_object& reader = reader_of(self);
  if (types_of(self).asserts && reader.transport != nullptr && reader.transport != Py_None) {
    PyErr_SetString(PyExc_AssertionError, "Transport already set");
    return nullptr;
  }
  Py_XSETREF(reader.transport, Py_NewRef(transport));
  Py_RETURN_NONE;
}

PyObject* reader_wakeup_waiter(PyObject* self, PyObject*) {
  return none_if(wake_waiter(types_of(self), reader_of(self)));
}

PyObject* reader_maybe_resume_transport(PyObject* self, PyObject*) {
  return none_if(maybe_resume_transport(types_of(self), reader_of(self)));
}

PyMethodDef reader_methods[] = {
    {"feed_data", reader_feed_data, METH_O, "Adds received data."},
    {"feed_eof", reader_feed_eof, METH_NOARGS, "Notes that no more data will come."},
    {"at_eof", reader_at_eof, METH_NOARGS, "Return True if the buffer is empty and 'feed_eof' was called."},
    {"exception", reader_exception, METH_NOARGS, "The exception that was set, or None."},
    {"set_exception", reader_set_exception, METH_O, "Has every read fail with an exception."},
    {"set_transport", reader_set_transport, METH_O,
     "Sets the transport that is paused when too much data comes."},
    {"_wakeup_waiter", reader_wakeup_waiter, METH_NOARGS,
     "Wakeup read*() functions waiting for data or EOF."},
    {"_maybe_resume_transport", reader_maybe_resume_transport, METH_NOARGS, nullptr},
};

// ---- asyncio's fields

PyObject* get_buffer(PyObject* self, void*) { return reader_of(self).buffer().as_bytearray(); }

int set_buffer(PyObject* self, PyObject* value, void*) {
  return reader_of(self).buffer().assign(value != nullptr ? value : Py_None) ? 0 : -1;
}

PyObject* get_limit(PyObject* self, void*) {
  PyObject* limit = reader_of(self).limit;
  return Py_NewRef(limit != nullptr ? limit : types_of(self).default_limit.get());
}

int set_limit_field(PyObject* self, PyObject* value, void*) {
  return set_limit(reader_of(self), value != nullptr ? value : types_of(self).default_limit.get()) ? 0 : -1;
}

template <char reader_object::* Flag>
PyObject* get_flag(PyObject* self, void*) {
  return PyBool_FromLong(reader_of(self).*Flag);
}

template <char reader_object::* Flag>
int set_flag(PyObject* self, PyObject* value, void*) {
  const int truth = value != nullptr ? PyObject_IsTrue(value) : 0;
  if (truth < 0) return -1;
  reader_of(self).*Flag = static_cast<char>(truth);
  return 0;
}

PyGetSetDef reader_properties[] = {
    {"_buffer", get_buffer, set_buffer, nullptr, nullptr},
    {"_limit", get_limit, set_limit_field, nullptr, nullptr},
    {"_eof", get_flag<&reader_object::eof>, set_flag<&reader_object::eof>, nullptr, nullptr},
    {"_paused", get_flag<&reader_object::paused>, set_flag<&reader_object::paused>, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef reader_members[] = {
    {"_loop", T_OBJECT, offsetof(reader_object, loop), 0, nullptr},
    {"_waiter", T_OBJECT, offsetof(reader_object, waiter), 0, nullptr},
    {"_exception", T_OBJECT, offsetof(reader_object, exception), 0, nullptr},
    {"_transport", T_OBJECT, offsetof(reader_object, transport), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// One method table of the two parts; it has to live as long as the type, so for ever.
PyMethodDef* all_methods() {
  static std::vector<PyMethodDef> methods = [] {
    std::vector<PyMethodDef> all(std::begin(reader_methods), std::end(reader_methods));
    for (const PyMethodDef* each = reading_methods; each->ml_name != nullptr; ++each) all.push_back(*each);
    all.push_back({nullptr, nullptr, 0, nullptr});
    return all;
  }();
  return methods.data();
}

}  // namespace

bool wake_waiter(state& types, reader_object& reader) {
  const py::ref waiter = py::ref::steal(std::exchange(reader.waiter, nullptr));
  if (!waiter || waiter.get() == Py_None) return true;
  const int over = ask(waiter.get(), types.names.cancelled);
  if (over != 0) return over > 0;
  return static_cast<bool>(call_method(waiter.get(), types.names.set_result, Py_None));
}

bool maybe_resume_transport(state& types, reader_object& reader) {
  if (reader.paused == 0 || reader.buffer().size() > reader.low_water) return true;
  reader.paused = 0;
  return resume_reading(types, reader.transport);
}

// A transport that cannot be paused is forgotten: all that comes has to be kept.
static bool pause_transport(state& types, reader_object& reader) {
  const py::ref transport = py::ref::borrow(reader.transport);
  if (call_method(transport.get(), types.names.pause_reading)) {
    reader.paused = 1;
    return true;
  }
  if (PyErr_ExceptionMatches(PyExc_NotImplementedError) == 0) return false;
  PyErr_Clear();
  Py_CLEAR(reader.transport);
  return true;
}

bool feed_data(state& types, PyObject* self, PyObject* data) {
  reader_object& reader = reader_of(self);
  if (reader.eof != 0 && types.asserts) {
    PyErr_SetString(PyExc_AssertionError, "feed_data after feed_eof");
    return false;
  }
  const int any = PyBytes_CheckExact(data) ? PyBytes_GET_SIZE(data) > 0 : PyObject_IsTrue(data);
  if (any <= 0) return any == 0;
  const py::ref alive = py::ref::borrow(self);
  if (!reader.buffer().append(data) || !wake_waiter(types, reader)) return false;
  const bool has_transport = reader.transport != nullptr && reader.transport != Py_None;
  if (!has_transport || reader.paused != 0 || reader.buffer().size() <= reader.high_water) return true;
  return pause_transport(types, reader);
}

py::ref new_waiter(state& types, reader_object& reader, const char* name) {
  if (reader.waiter != nullptr && reader.waiter != Py_None) {
    PyErr_Format(PyExc_RuntimeError,
                 "%s() called while another coroutine is already waiting for incoming data", name);
    return {};
  }
  if (reader.eof != 0 && types.asserts) {
    PyErr_SetString(PyExc_AssertionError, "_wait_for_data after EOF");
    return {};
  }
  // Waiting for data while reading is paused would be for ever.
  if (reader.paused != 0) {
    reader.paused = 0;
    if (!resume_reading(types, reader.transport)) return {};
  }
  py::ref waiter = call_method(reader.loop, types.names.create_future);
  if (waiter) Py_XSETREF(reader.waiter, Py_NewRef(waiter.get()));
  return waiter;
}

py::ref make_reader_base(PyObject* core) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The native half of asyncio.StreamReader.")},
      {Py_tp_new, reinterpret_cast<void*>(reader_new)},
      {Py_tp_init, reinterpret_cast<void*>(reader_init)},
      {Py_tp_traverse, reinterpret_cast<void*>(reader_traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(reader_clear)},
      {Py_tp_dealloc, reinterpret_cast<void*>(reader_dealloc)},
      {Py_am_anext, reinterpret_cast<void*>(reader_anext)},
      {Py_tp_methods, all_methods()},
      {Py_tp_getset, reader_properties},
      {Py_tp_members, reader_members},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = "triga._core.StreamReaderBase",
                      .basicsize = sizeof(reader_object),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  return py::ref::steal(PyType_FromModuleAndSpec(core, &spec, nullptr));
}

}  // namespace triga::streams
