// SPDX-License-Identifier: MIT
#include "bindings/types/stream_buffer.h"

#include <algorithm>
#include <cstring>

namespace triga::streams {
namespace {

// A piece smaller than this joins what is there by a copy: an object of its own would cost more than its
// bytes.
constexpr Py_ssize_t smallest_piece = 4096;

}  // namespace

bool stream_buffer::append(PyObject* data) {
  // Nobody else holds the emptied bytearray: back to pieces.
  if (flat_ && PyByteArray_GET_SIZE(flat_.get()) == 0 && Py_REFCNT(flat_.get()) == 1) flat_.reset();
  const bool keep =
      !flat_ && PyBytes_CheckExact(data) && (size_ == 0 || PyBytes_GET_SIZE(data) >= smallest_piece);
  if (!keep) return flatten() && extend_flat(data);
  pieces_.push_back(py::ref::borrow(data));
  size_ += static_cast<std::size_t>(PyBytes_GET_SIZE(data));
  return true;
}

bool stream_buffer::extend_flat(PyObject* data) {
  if (!PyBytes_CheckExact(data)) {
    return static_cast<bool>(py::ref::steal(PyObject_CallMethod(flat_.get(), "extend", "O", data)));
  }
  const Py_ssize_t before = PyByteArray_GET_SIZE(flat_.get());
  if (PyByteArray_Resize(flat_.get(), before + PyBytes_GET_SIZE(data)) < 0) return false;
  std::memcpy(PyByteArray_AS_STRING(flat_.get()) + before, PyBytes_AS_STRING(data),
              static_cast<std::size_t>(PyBytes_GET_SIZE(data)));
  return true;
}

bool stream_buffer::passes_through(std::size_t count) const noexcept {
  return !flat_ && size_ > 0 && offset_ == 0 && count == left_in_front();
}

void stream_buffer::advance(std::size_t count) {
  size_ -= count;
  offset_ += count;
  if (offset_ < static_cast<std::size_t>(PyBytes_GET_SIZE(front()))) return;
  pieces_[first_].reset();
  offset_ = 0;
  if (++first_ == pieces_.size()) {
    pieces_.clear();
    first_ = 0;
  }
}

void stream_buffer::copy_out(char* to, std::size_t count) {
  while (count > 0) {
    const std::size_t part = std::min(count, left_in_front());
    std::memcpy(to, PyBytes_AS_STRING(front()) + offset_, part);
    to += part;
    count -= part;
    advance(part);
  }
}

PyObject* stream_buffer::take(std::size_t count) {
  const auto size = static_cast<Py_ssize_t>(count);
  if (passes_through(count)) {
    PyObject* whole = Py_NewRef(front());
    advance(count);
    return whole;
  }
  PyObject* taken = PyBytes_FromStringAndSize(nullptr, size);
  if (taken == nullptr) return nullptr;
  if (!flat_) {
    copy_out(PyBytes_AS_STRING(taken), count);
    return taken;
  }
  std::memcpy(PyBytes_AS_STRING(taken), PyByteArray_AS_STRING(flat_.get()), count);
  if (!drop(count)) Py_CLEAR(taken);
  return taken;
}

bool stream_buffer::drop(std::size_t count) {
  if (flat_) return PySequence_DelSlice(flat_.get(), 0, static_cast<Py_ssize_t>(count)) == 0;
  while (count > 0) {
    const std::size_t part = std::min(count, left_in_front());
    count -= part;
    advance(part);
  }
  return true;
}

bool stream_buffer::flatten() {
  if (flat_) return true;
  py::ref flat = py::ref::steal(PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size_)));
  if (!flat) return false;
  copy_out(PyByteArray_AS_STRING(flat.get()), size_);
  flat_ = std::move(flat);
  return true;
}

bool stream_buffer::in_one_piece(std::string_view& bytes) {
  if (!flat_) {
    if (size_ == 0) {
      bytes = {};
      return true;
    }
    if (pieces_.size() - first_ == 1) {
      bytes = {PyBytes_AS_STRING(front()) + offset_, size_};
      return true;
    }
    if (!flatten()) return false;
  }
  bytes = {PyByteArray_AS_STRING(flat_.get()), size()};
  return true;
}

PyObject* stream_buffer::as_bytearray() { return flatten() ? Py_NewRef(flat_.get()) : nullptr; }

bool stream_buffer::assign(PyObject* bytes) {
  py::ref flat = PyByteArray_Check(bytes) ? py::ref::borrow(bytes)
                 : PyBytes_Check(bytes)   ? py::ref::steal(PyByteArray_FromObject(bytes))
                                          : py::ref();
  if (!flat) {
    if (PyErr_Occurred() == nullptr) {
      PyErr_Format(PyExc_TypeError, "a stream's _buffer is a bytearray, not %.200s", Py_TYPE(bytes)->tp_name);
    }
    return false;
  }
  pieces_.clear();
  first_ = offset_ = size_ = 0;
  flat_ = std::move(flat);
  return true;
}

}  // namespace triga::streams
