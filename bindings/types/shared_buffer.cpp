// SPDX-License-Identifier: MIT
#include "bindings/types/shared_buffer.h"

#include <cerrno>
#include <cstddef>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "bindings/py/gil.h"
#include "bindings/py/ref.h"
#include "bindings/types/new_bytes.h"
#include "bindings/types/received_bytes.h"

namespace triga {
namespace {

// In place, where anybody wants to see it so: mapped then, or, where no more can be mapped (a process has
// 65,530 mappings by default), copied.
struct payload {
  explicit payload(shm::block&& from) noexcept : home(std::move(from)) {}
  payload(const payload&) = delete;
  payload& operator=(const payload&) = delete;
  payload(payload&&) = delete;
  payload& operator=(payload&&) = delete;
  // A kept place comes free first: nobody reads it any more, and unmapping a large one takes longer than its
  // sender needs for the next payload, which would go to fresh memory. Other memory goes back to the machine,
  // which is quicker once it is not mapped.
  ~payload() {
    if (home.keeps_its_pages()) const shm::block freed = std::move(home);
  }

  shm::block home;
  shm::mapping mapped;  // goes before the block
  std::vector<std::byte> copy;

  [[nodiscard]] std::span<std::byte> memory() noexcept { return copy.empty() ? mapped.bytes() : copy; }
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

// False with an exception set.
bool bring_in(payload& held) {
  auto mapped = [&] {
    const py::gil_release released;  // mapping touches no Python object, and the caller keeps the payload
    return held.home.map();
  }();
  if (!held.memory().empty()) return true;  // another thread was quicker
  if (mapped) {
    held.mapped = std::move(*mapped);
    return true;
  }
  try {
    held.copy.resize(held.home.size());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    return false;
  }
  errno = held.home.read(held.copy);
  if (errno == 0) return true;
  held.copy.clear();
  PyErr_SetFromErrno(PyExc_OSError);
  return false;
}

int shared_buffer_get(PyObject* object, Py_buffer* view, int flags) {
  auto& held = self_of(object)->held;
  if (!held) {
    PyErr_SetString(PyExc_BufferError, "a SharedBuffer is made by triga only; this one is empty");
    return -1;
  }
  if (held->memory().empty() && !bring_in(*held)) return -1;
  const std::span<std::byte> memory = held->memory();
  return PyBuffer_FillInfo(view, object, memory.data(), static_cast<Py_ssize_t>(memory.size()), 0, flags);
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

}  // namespace

PyObject* make_shared_buffer_type(PyObject* module) {
  return PyType_FromModuleAndSpec(module, &shared_buffer_spec, nullptr);
}

PyObject* make_buffer(PyTypeObject* shared_buffer, shm::block&& from) {
  PyObject* const object = shared_buffer->tp_alloc(shared_buffer, 0);
  if (object == nullptr) return nullptr;
  new (&self_of(object)->held) std::optional<payload>(std::in_place, std::move(from));
  return object;
}

PyObject* bytes_of_shared(PyObject* buffer) {
  // The type cannot be subclassed, so its functions tell it from others.
  auto* const held = Py_TYPE(buffer)->tp_dealloc == shared_buffer_dealloc ? &self_of(buffer)->held : nullptr;
  if (held == nullptr || !held->has_value()) {
    return PyErr_Format(PyExc_TypeError,
                        "bytes_of_shared() takes a SharedBuffer that holds something, not %.200s",
                        Py_TYPE(buffer)->tp_name);
  }
  shm::block& from = (*held)->home;
  py::ref made = py::ref::steal(new_bytes(static_cast<Py_ssize_t>(from.size())));
  if (!made) return nullptr;
  const int error = [&] {
    // Safe: the caller keeps the buffer, and nobody else knows the new object.
    const py::gil_release released;
    return from.read({reinterpret_cast<std::byte*>(PyBytes_AS_STRING(made.get())), from.size()});
  }();
  if (error != 0) {
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  // Where somebody sees the buffer in place, it keeps its block.
  if ((*held)->memory().empty() && received_bytes::note(made.get(), from)) held->reset();
  return made.release();
}

}  // namespace triga
