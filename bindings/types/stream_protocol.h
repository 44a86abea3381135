// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::streams {

// The native half of asyncio.StreamReaderProtocol: the fields that are looked at for every message. What runs
// once a connection is asyncio's own code on them.
struct protocol_object {
  PyObject_HEAD PyObject* reader_reference;  // _stream_reader_wr: a weak reference, or None
  char paused;
  char connection_lost;
};

[[nodiscard]] inline protocol_object& protocol_of(PyObject* self) noexcept {
  return *reinterpret_cast<protocol_object*>(self);
}

py::ref make_protocol_base(PyObject* core);

}  // namespace triga::streams
