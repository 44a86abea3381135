// SPDX-License-Identifier: MIT
#include "bindings/types/shared_buffer.h"

#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include "bindings/py/gil.h"
#include "bindings/py/ref.h"

namespace triga {
namespace {

struct payload {
  shm::block home;
  shm::mapping mapped;  // goes first
};

struct shared_buffer_object {
  PyObject_HEAD std::optional<payload> held;
};

shared_buffer_object* self_of(PyObject* object) noexcept {
  return reinterpret_cast<shared_buffer_object*>(object);
}

void shared_buffer_dealloc(PyObject* object) {
  PyTypeObject* const type = Py_TYPE(object);
  using held_type = std::optional<payload>;
  self_of(object)->held.~held_type();
  type->tp_free(object);
  Py_DECREF(type);
}

int shared_buffer_get(PyObject* object, Py_buffer* view, int flags) {
  const auto& held = self_of(object)->held;
  if (!held) {
    PyErr_SetString(PyExc_BufferError, "a SharedBuffer is made by triga only; this one is empty");
    return -1;
  }
  return PyBuffer_FillInfo(view, object, held->mapped.data(), static_cast<Py_ssize_t>(held->mapped.size()), 0,
                           flags);
}

PyType_Slot shared_buffer_slots[] = {
    {Py_tp_doc, const_cast<char*>("Memory that came from another process, in place.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(shared_buffer_dealloc)},
    {Py_bf_getbuffer, reinterpret_cast<void*>(shared_buffer_get)},
    {0, nullptr},
};

PyType_Spec shared_buffer_spec = {
    .name = "triga._core.SharedBuffer",
    .basicsize = sizeof(shared_buffer_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = shared_buffer_slots,
};

PyObject* copied(const shm::block& from) {
  py::ref copy = py::ref::steal(PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(from.size())));
  if (!copy) return nullptr;
  errno = from.read({reinterpret_cast<std::byte*>(PyByteArray_AS_STRING(copy.get())), from.size()});
  return errno != 0 ? PyErr_SetFromErrno(PyExc_OSError) : copy.release();
}

}  // namespace

PyObject* make_shared_buffer_type(PyObject* module) {
  return PyType_FromModuleAndSpec(module, &shared_buffer_spec, nullptr);
}

PyObject* make_buffer(PyTypeObject* shared_buffer, shm::block&& from) {
  auto mapped = [&] {
    const py::gil_release released;  // `from` is the caller's own, and mapping touches no Python object
    return from.map();
  }();
  // A process has 65,530 mappings by default; a program that keeps more arrays than that gets copies.
  if (!mapped) return copied(from);
  PyObject* const object = shared_buffer->tp_alloc(shared_buffer, 0);
  if (object == nullptr) return nullptr;
  new (&self_of(object)->held) std::optional<payload>(payload{std::move(from), std::move(*mapped)});
  return object;
}

}  // namespace triga
