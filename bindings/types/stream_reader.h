// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <new>

#include "bindings/py/ref.h"
#include "bindings/types/stream_buffer.h"
#include "bindings/types/streams_state.h"

// The native half of asyncio.StreamReader. The class (triga._loop.streams) derives from this and then from
// asyncio's own: the fields are here under asyncio's names, so that its inherited methods, a subclass and a
// test see and change the truth.
namespace triga::streams {

struct reader_object {
  PyObject_HEAD PyObject* limit;  // as it was given
  PyObject* loop;
  PyObject* waiter;  // the future of the read that waits for data; null: none. As the next three
  PyObject* exception;
  PyObject* transport;
  std::size_t low_water;   // the limit and its double in whole bytes: reading is resumed at the one,
  std::size_t high_water;  // paused above the other
  char eof;
  char paused;
  alignas(stream_buffer) std::byte received[sizeof(stream_buffer)];

  [[nodiscard]] stream_buffer& buffer() noexcept {
    return *std::launder(reinterpret_cast<stream_buffer*>(received));
  }
};

[[nodiscard]] inline reader_object& reader_of(PyObject* self) noexcept {
  return *reinterpret_cast<reader_object*>(self);
}

// Is `object` an instance of exactly the native class?
[[nodiscard]] inline bool is_plain(const py::ref& native_class, PyObject* object) noexcept {
  return reinterpret_cast<PyObject*>(Py_TYPE(object)) == native_class.get();
}

// asyncio's methods of the same names. False: an exception is set.
bool feed_data(state& types, PyObject* reader, PyObject* data);
bool wake_waiter(state& types, reader_object& reader);
bool maybe_resume_transport(state& types, reader_object& reader);
// What _wait_for_data(name) waits for; null: an exception is set.
py::ref new_waiter(state& types, reader_object& reader, const char* name);

extern PyMethodDef reading_methods[];  // stream_read.cpp
PyObject* reader_anext(PyObject* self);

py::ref make_reader_base(PyObject* core);

}  // namespace triga::streams
