// SPDX-License-Identifier: MIT
#include "bindings/types/pickle_sink.h"

#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "bindings/types/received_bytes.h"

namespace triga {
namespace {

// From this size on a bytes object is referred to and not copied, and a buffer goes into memory of its own.
constexpr Py_ssize_t refer_from = 64 * 1024;
constexpr Py_ssize_t apart_from = 128 * 1024;
// From this size on a bytes object does so, too: it is read from there into the new object, where a part of
// the pickle would be mapped first.
constexpr Py_ssize_t bytes_apart_from = 1024 * 1024;

// GLOBAL of the function, NEXT_BUFFER, TUPLE1, REDUCE: what stands in the pickle for bytes that are apart. It
// leaves on the unpickler's stack what BINBYTES would, and memoizes nothing.
constexpr std::string_view bytes_are_apart = "ctriga._core\nbytes_of_shared\n\x97\x85R";

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

// A number as pickle writes it.
template <class T>
T number_at(const std::byte* from) noexcept {
  T number = 0;
  std::memcpy(&number, from, sizeof number);
  return number;
}

// The length of the opcode at the end of `pickle` that announces a bytes object of that size, BINBYTES or
// BINBYTES8; 0 if there is none.
std::size_t announcement_of(std::span<const std::byte> pickle, std::size_t size) noexcept {
  constexpr std::byte short_form{'B'}, long_form{0x8e};
  const std::byte* const end = pickle.data() + pickle.size();
  if (pickle.size() >= 5 && end[-5] == short_form && number_at<std::uint32_t>(end - 4) == size) return 5;
  if (pickle.size() >= 9 && end[-9] == long_form && number_at<std::uint64_t>(end - 8) == size) return 9;
  return 0;
}

// Whether that may be a part of the pickle itself, a frame, and not what an object consists of.
bool is_frame(std::span<const std::byte> data) noexcept {
  constexpr std::byte frame{0x95};
  return data[0] == frame && number_at<std::uint64_t>(data.data() + 1) == data.size() - 9;
}

}  // namespace

void pickle_content::clear() noexcept {
  small_.clear();
  pieces_.clear();
  for (auto& view : views_) PyBuffer_Release(&view);
  views_.clear();
  body_spans_.clear();
  buffer_spans_.clear();
  received_.clear();
  size_ = 0;
  unread_ = 0;
}

void pickle_content::append(std::span<const std::byte> bytes) {
  const std::size_t offset = small_.size();
  small_.insert(small_.end(), bytes.begin(), bytes.end());
  if (!pieces_.empty() && !pieces_.back().owner) {
    pieces_.back().length += bytes.size();
  } else {
    pieces_.push_back({offset, bytes.size(), {}});
  }
  size_ += bytes.size();
}

// Whether these are the bytes of an object that the pickle has just announced; then they go apart.
bool pickle_content::take_apart(PyObject* bytes) {
  const auto data = span_of(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
  if (pieces_.empty() || pieces_.back().owner || is_frame(data)) return false;
  const auto written = std::span<const std::byte>(small_).subspan(unread_);
  const std::size_t announcement = announcement_of(written, data.size());
  if (announcement == 0 || pieces_.back().length < announcement) return false;
  small_.resize(small_.size() - announcement);
  pieces_.back().length -= announcement;
  size_ -= announcement;
  append(std::as_bytes(std::span(bytes_are_apart)));
  unread_ = small_.size();
  Py_buffer view{};
  PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE);  // cannot fail for bytes
  views_.push_back(view);
  buffer_spans_.push_back(data);
  received_.push_back(received_bytes::block_of(bytes));
  size_ += data.size();
  return true;
}

bool pickle_content::write(PyObject* data) {
  if (PyBytes_CheckExact(data) && PyBytes_GET_SIZE(data) >= bytes_apart_from && take_apart(data)) return true;
  if (PyBytes_CheckExact(data) && PyBytes_GET_SIZE(data) >= refer_from) {
    const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(data));
    pieces_.push_back({0, size, py::ref::borrow(data)});
    size_ += size;
    return true;
  }
  Py_buffer view{};
  if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0) return false;
  append(span_of(view.buf, view.len));
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
  received_.push_back(nullptr);
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
