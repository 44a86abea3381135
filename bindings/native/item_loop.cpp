// SPDX-License-Identifier: MIT
#include "bindings/native/item_loop.h"

#include <cerrno>

namespace triga {

namespace py11 = pybind11;

py11::list item_loop::errors() const {
  py11::list list(errors_.size());
  for (std::size_t i = 0; i < errors_.size(); ++i) {
    const item_error& error = errors_[i];
    if (!error) {
      list[i] = py11::none();
    } else if (error.text.empty()) {
      list[i] = py11::int_(error.number);
    } else {
      list[i] = py11::str(error.text);
    }
  }
  return list;
}

std::vector<held_buffer> hold_buffers(const py11::list& items) {
  std::vector<held_buffer> buffers(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    PyObject* const item = items[i].ptr();
    if (PyObject_CheckBuffer(item) == 0) {
      PyErr_Format(PyExc_TypeError, "buffers[%zu]: a bytes-like object is required, not '%.100s'", i,
                   Py_TYPE(item)->tp_name);
      throw py11::error_already_set();
    }
    if (!buffers[i].acquire(item, PyBUF_FULL_RO)) throw py11::error_already_set();
    if (PyBuffer_IsContiguous(&buffers[i].view(), 'C') != 0) continue;
    PyErr_Format(PyExc_BufferError,
                 "buffers[%zu]: expected a C-contiguous buffer, got a '%.100s' that is not", i,
                 Py_TYPE(item)->tp_name);
    throw py11::error_already_set();
  }
  return buffers;
}

}  // namespace triga
