// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/shm/slab.h"

namespace triga {

// The type triga._core.SharedBuffer: a payload from another process, in place, behind the buffer protocol.
// NumPy arrays that came out of band lie in one. Its memory goes back to the machine with it.
PyObject* make_shared_buffer_type(PyObject* module);

// A buffer object for the payload: a SharedBuffer, or, where no more can be mapped, a bytearray with a copy
// of it. A new reference, or nullptr with an exception set.
PyObject* make_buffer(PyTypeObject* shared_buffer, shm::block&& payload);

}  // namespace triga
