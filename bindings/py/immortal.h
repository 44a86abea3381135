// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>

namespace triga::py {

// Makes the objects in the list immortal, and what they refer to directly if it is constant (code, strings,
// numbers, tuples of them): their reference counts are never written again. In a process that is going to be
// cloned this keeps the pages that they lie in shared, since most of what a clone writes are counts.
//
// Only objects of which modules and classes consist: functions, code, types, dictionaries, lists and the
// like. What may have to end at a certain moment (files, generators, frames, instances) is left as it is.
// Returns how many were made immortal: none on 3.11, which has no such objects.
std::size_t make_immortal(PyObject* list);

// The same in a process that goes on to run its own work: of each module in the list only what it defines
// itself, at its top level, as it stands: functions, classes with their methods and descriptors, and the
// constants of these. What a function made while it ran, or what a list or dictionary holds, may have to end
// and is left as it is.
std::size_t make_modules_immortal(PyObject* modules);

}  // namespace triga::py
