// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <memory>
#include <span>

namespace triga {

// A buffer of a Python object, exported until this is destroyed: the object cannot move or resize it
// meanwhile. Needs the GIL to be made and destroyed. The view stays where it is when this is moved, since a
// view's shape may point into it.
class held_buffer {
 public:
  // As PyObject_GetBuffer(). False: an exception is set.
  bool acquire(PyObject* object, int flags) {
    auto view = std::make_unique<Py_buffer>();
    if (PyObject_GetBuffer(object, view.get(), flags) != 0) return false;
    view_.reset(view.release());
    return true;
  }

  // Of the buffer that was acquired.
  [[nodiscard]] const Py_buffer& view() const noexcept { return *view_; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(view_->buf), static_cast<std::size_t>(view_->len)};
  }

 private:
  struct release {
    void operator()(Py_buffer* view) const noexcept {
      PyBuffer_Release(view);
      delete view;
    }
  };
  std::unique_ptr<Py_buffer, release> view_;
};

}  // namespace triga
