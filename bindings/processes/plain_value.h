// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <span>
#include <vector>

namespace triga {

// Small values of the commonest exact types (None, bool, int of 64 bits, float, short ASCII str and bytes,
// and tuples of these; at the top also a list of them) as bytes, for a fraction of what pickle takes to set
// out. Nothing in such a value can refer to another object twice in a way that a program could tell, and no
// reducer is asked about these types by pickle either.

// Appends the value; false, with nothing appended and no exception, if it is not of this kind.
bool append_plain(std::vector<std::byte>& to, PyObject* value);

// Reads a value that is all of `from`, which another process wrote: a new reference, or nullptr with an
// exception set (UnpicklingError where the bytes make no value).
PyObject* read_plain(std::span<const std::byte> from);

}  // namespace triga
