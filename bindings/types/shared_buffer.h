// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/shm/slab.h"

namespace triga {

// The type triga._core.SharedBuffer: a payload from another process, in place, behind the buffer protocol.
// NumPy arrays that came out of band lie in one. Its memory goes back to the machine with it.
PyObject* make_shared_buffer_type(PyObject* module);

// A SharedBuffer for the payload: a new reference, or nullptr with an exception set.
PyObject* make_buffer(PyTypeObject* shared_buffer, shm::block&& payload);

// triga._core.bytes_of_shared(): a bytes object with the payload of a SharedBuffer, read into it
// without being mapped. Pickles name it, see pickle_sink.cpp.
PyObject* bytes_of_shared(PyObject* buffer);

}  // namespace triga
