// SPDX-License-Identifier: MIT
#include "bindings/types/pickle_sink.h"

#include <new>
#include <utility>

namespace triga {
namespace {

// From this size on a bytes object is referred to and not copied, and a buffer goes into memory of its own.
constexpr Py_ssize_t refer_from = 64 * 1024;
constexpr Py_ssize_t apart_from = 128 * 1024;

struct sink_object {
  PyObject_HEAD pickle_content content;
};

sink_object* self_of(PyObject* object) noexcept { return reinterpret_cast<sink_object*>(object); }

PyObject* sink_new(PyTypeObject* type, PyObject*, PyObject*) {
  auto* const self = reinterpret_cast<sink_object*>(type->tp_alloc(type, 0));
  if (self != nullptr) new (&self->content) pickle_content;
  return reinterpret_cast<PyObject*>(self);
}

void sink_dealloc(PyObject* object) {
  PyTypeObject* const type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  self_of(object)->content.~pickle_content();
  type->tp_free(object);
  Py_DECREF(type);
}

// The content is emptied before the pickler's caller gets control back, so it is in no cycle.
int sink_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  return 0;
}

PyObject* sink_write(PyObject* object, PyObject* data) {
  if (!self_of(object)->content.write(data)) return nullptr;
  Py_RETURN_NONE;
}

PyObject* sink_buffer(PyObject* object, PyObject* buffer) {
  const int apart = self_of(object)->content.buffer(buffer);
  if (apart < 0) return nullptr;
  // pickle's convention: a false value means out of band.
  return PyBool_FromLong(apart == 0);
}

PyMethodDef sink_methods[] = {
    {"write", sink_write, METH_O, "Takes a part of a pickle."},
    {"buffer", sink_buffer, METH_O, "The buffer_callback of a pickler: takes large buffers out of band."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot sink_slots[] = {
    {Py_tp_doc, const_cast<char*>("Where a pickler writes a message for another process.")},
    {Py_tp_new, reinterpret_cast<void*>(sink_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(sink_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(sink_traverse)},
    {Py_tp_methods, sink_methods},
    {0, nullptr},
};

PyType_Spec sink_spec = {
    .name = "triga._core.PickleSink",
    .basicsize = sizeof(sink_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = sink_slots,
};

std::span<const std::byte> span_of(const void* data, Py_ssize_t size) noexcept {
  return {static_cast<const std::byte*>(data), static_cast<std::size_t>(size)};
}

}  // namespace

void pickle_content::clear() noexcept {
  small_.clear();
  pieces_.clear();
  for (auto& view : views_) PyBuffer_Release(&view);
  views_.clear();
  body_spans_.clear();
  buffer_spans_.clear();
  size_ = 0;
}

bool pickle_content::write(PyObject* data) {
  if (PyBytes_CheckExact(data) && PyBytes_GET_SIZE(data) >= refer_from) {
    const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(data));
    pieces_.push_back({0, size, py::ref::borrow(data)});
    size_ += size;
    return true;
  }
  Py_buffer view{};
  if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) return false;
  const auto bytes = span_of(view.buf, view.len);
  const std::size_t offset = small_.size();
  small_.insert(small_.end(), bytes.begin(), bytes.end());
  if (!pieces_.empty() && !pieces_.back().owner) {
    pieces_.back().length += bytes.size();
  } else {
    pieces_.push_back({offset, bytes.size(), {}});
  }
  size_ += bytes.size();
  PyBuffer_Release(&view);
  return true;
}

int pickle_content::buffer(PyObject* pickle_buffer) {
  // raw() gives the memory as one dimension of bytes, whatever its shape and order.
  const py::ref raw = py::ref::steal(PyObject_CallMethod(pickle_buffer, "raw", nullptr));
  if (!raw) return -1;
  Py_buffer view{};
  if (PyObject_GetBuffer(raw.get(), &view, PyBUF_SIMPLE) != 0) return -1;
  if (view.len < apart_from) {
    PyBuffer_Release(&view);
    return 0;
  }
  views_.push_back(view);
  buffer_spans_.push_back(span_of(view.buf, view.len));
  size_ += static_cast<std::size_t>(view.len);
  return 1;
}

std::span<const std::span<const std::byte>> pickle_content::body() {
  body_spans_.clear();
  for (const piece& each : pieces_) {
    body_spans_.push_back(
        each.owner ? span_of(PyBytes_AS_STRING(each.owner.get()), PyBytes_GET_SIZE(each.owner.get()))
                   : std::span(std::as_const(small_)).subspan(each.offset, each.length));
  }
  return body_spans_;
}

PyObject* make_pickle_sink_type(PyObject* module) {
  return PyType_FromModuleAndSpec(module, &sink_spec, nullptr);
}

pickle_content& content_of(PyObject* sink) noexcept { return self_of(sink)->content; }

}  // namespace triga
