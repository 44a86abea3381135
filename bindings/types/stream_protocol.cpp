// SPDX-License-Identifier: MIT
#include "bindings/types/stream_protocol.h"

#include <structmember.h>

#include "bindings/module_state.h"
#include "bindings/types/stream_call.h"
#include "bindings/types/stream_reader.h"

namespace triga::streams {
namespace {

// What a weak reference refers to; null without an exception if that is gone.
py::ref target_of(PyObject* reference) {
  if (reference == nullptr || reference == Py_None) return {};
  if (!PyWeakref_Check(reference)) return py::ref::steal(PyObject_CallNoArgs(reference));
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* target = nullptr;
  (void)PyWeakref_GetRef(reference, &target);
  return py::ref::steal(target);
#else
  PyObject* target = PyWeakref_GetObject(reference);
  return target != Py_None ? py::ref::borrow(target) : py::ref();
#endif
}

PyObject* data_received(PyObject* self, PyObject* data) {
  state& types = state_of(Py_TYPE(self)).streams;
  const py::ref reader = target_of(protocol_of(self).reader_reference);
  if (!reader || reader.get() == Py_None) {
    if (PyErr_Occurred() != nullptr) return nullptr;
    Py_RETURN_NONE;
  }
  const bool fed = is_plain(types.reader, reader.get())
                       ? feed_data(types, reader.get(), data)
                       : static_cast<bool>(call_method(reader.get(), types.names.feed_data, data));
  return fed ? Py_NewRef(Py_None) : nullptr;
}

int protocol_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(protocol_of(self).reader_reference);
  return 0;
}

int protocol_clear(PyObject* self) {
  Py_CLEAR(protocol_of(self).reader_reference);
  return 0;
}

void protocol_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  protocol_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

template <char protocol_object::* Flag>
PyObject* get_flag(PyObject* self, void*) {
  return PyBool_FromLong(protocol_of(self).*Flag);
}

template <char protocol_object::* Flag>
int set_flag(PyObject* self, PyObject* value, void*) {
  const int truth = value != nullptr ? PyObject_IsTrue(value) : 0;
  if (truth < 0) return -1;
  protocol_of(self).*Flag = static_cast<char>(truth);
  return 0;
}

PyMethodDef protocol_methods[] = {
    {"data_received", data_received, METH_O, "Feeds the reader."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef protocol_properties[] = {
    {"_paused", get_flag<&protocol_object::paused>, set_flag<&protocol_object::paused>, nullptr, nullptr},
    {"_connection_lost", get_flag<&protocol_object::connection_lost>,
     set_flag<&protocol_object::connection_lost>, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMemberDef protocol_members[] = {
    {"_stream_reader_wr", T_OBJECT, offsetof(protocol_object, reader_reference), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

}  // namespace

py::ref make_protocol_base(PyObject* core) {
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The native half of asyncio.StreamReaderProtocol.")},
      {Py_tp_new, reinterpret_cast<void*>(PyType_GenericNew)},
      {Py_tp_traverse, reinterpret_cast<void*>(protocol_traverse)},
      {Py_tp_clear, reinterpret_cast<void*>(protocol_clear)},
      {Py_tp_dealloc, reinterpret_cast<void*>(protocol_dealloc)},
      {Py_tp_methods, protocol_methods},
      {Py_tp_getset, protocol_properties},
      {Py_tp_members, protocol_members},
      {0, nullptr},
  };
  PyType_Spec spec = {.name = "triga._core.StreamProtocolBase",
                      .basicsize = sizeof(protocol_object),
                      .itemsize = 0,
                      .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
                      .slots = slots};
  return py::ref::steal(PyType_FromModuleAndSpec(core, &spec, nullptr));
}

}  // namespace triga::streams
