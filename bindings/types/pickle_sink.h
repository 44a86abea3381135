// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <span>
#include <vector>

#include "bindings/py/ref.h"
#include "runtime/shm/slab.h"

namespace triga {

// What a pickler writes to. Python sees a file with write(), and buffer() for pickle's buffer_callback; C++
// sees the pickle as pieces of memory, of which the large ones (bytes objects, buffers) were not copied.
class pickle_content {
 public:
  pickle_content() = default;
  pickle_content(const pickle_content&) = delete;
  pickle_content& operator=(const pickle_content&) = delete;
  pickle_content(pickle_content&&) = delete;
  pickle_content& operator=(pickle_content&&) = delete;
  ~pickle_content() { clear(); }

  void clear() noexcept;
  // Adds a part of the pickle; false with a Python exception set.
  bool write(PyObject* data);
  // 1 if the buffer travels apart from the pickle, 0 if it is too small for that, -1 with an exception set.
  int buffer(PyObject* pickle_buffer);

  // Valid until clear().
  std::span<const std::span<const std::byte>> body();
  [[nodiscard]] std::span<const std::span<const std::byte>> buffers() const noexcept { return buffer_spans_; }
  // For each of buffers() the block in which this thread received it, or null; see received_bytes.
  [[nodiscard]] std::span<shm::block* const> received() const noexcept { return received_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void append(std::span<const std::byte> bytes);
  bool take_apart(PyObject* bytes);

  struct piece {
    std::size_t offset;  // in small_, or 0
    std::size_t length;
    py::ref owner;  // a bytes object, or empty
  };

  std::vector<std::byte> small_;
  std::vector<piece> pieces_;
  std::vector<Py_buffer> views_;
  std::vector<std::span<const std::byte>> body_spans_;
  std::vector<std::span<const std::byte>> buffer_spans_;
  std::vector<shm::block*> received_;
  std::size_t size_ = 0;
  std::size_t unread_ = 0;  // before here small_ announces nothing any more
};

// The type triga._core.PickleSink.
PyObject* make_pickle_sink_type(PyObject* module);
pickle_content& content_of(PyObject* sink) noexcept;

}  // namespace triga
