// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "bindings/py/ref.h"

namespace triga::streams {

// What a StreamReader has received and nobody has read yet.
//
// asyncio keeps a bytearray: each received bytes object is copied into it, and copied out again. Here the
// objects are kept as they came, so that a read which wants all of one gets that very object, and lines are
// cut out of it with one copy. Small pieces that pile up, what is not bytes, and what has to be searched
// across pieces is copied into a bytearray after all, so that memory stays in proportion to what was
// received. That bytearray is the reader's `_buffer`: a program that asks for it holds the very object, and
// may change it.
//
// Everything is used under the GIL. False or null: an exception is set.
class stream_buffer {
 public:
  [[nodiscard]] std::size_t size() const noexcept {
    return flat_ ? static_cast<std::size_t>(PyByteArray_GET_SIZE(flat_.get())) : size_;
  }
  bool append(PyObject* data);
  // Removes the first `count` bytes, at most size(), and returns them as bytes.
  PyObject* take(std::size_t count);
  bool drop(std::size_t count);
  // The bytes in one piece, good until the next call. Nothing if that needs memory which cannot be had.
  bool in_one_piece(std::string_view& bytes);
  // The bytearray that holds the bytes from now on: a new reference.
  PyObject* as_bytearray();
  // Makes `bytes`, a bytearray or bytes, what is held.
  bool assign(PyObject* bytes);
  // Whether the object that take(count) would return is one that was appended.
  [[nodiscard]] bool passes_through(std::size_t count) const noexcept;

 private:
  [[nodiscard]] PyObject* front() const noexcept { return pieces_[first_].get(); }
  [[nodiscard]] std::size_t left_in_front() const noexcept {
    return static_cast<std::size_t>(PyBytes_GET_SIZE(front())) - offset_;
  }
  void advance(std::size_t count);
  void copy_out(char* to, std::size_t count);
  bool flatten();
  bool extend_flat(PyObject* data);

  py::ref flat_;  // a bytearray, or null: the pieces hold the bytes
  std::vector<py::ref> pieces_;
  std::size_t first_ = 0;   // pieces before this one were taken
  std::size_t offset_ = 0;  // bytes of the first piece that were taken
  std::size_t size_ = 0;
};

}  // namespace triga::streams
