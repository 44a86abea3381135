// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "runtime/base/clock.h"

namespace triga::py {

// The deadline that has passed whatever the time: there is nothing to wait for.
inline constexpr time_point already{};

// The moment `seconds` (a Python number) from now, for a wait. False with the exception that a lock's
// acquire() sets for the same number: ValueError for NaN, OverflowError beyond threading.TIMEOUT_MAX,
// TypeError for no number.
bool deadline_in(PyObject* seconds, time_point& deadline);

// The same for the wait() of threading's classes, where no time at all (zero, less, and NaN before 3.15) is
// `already`.
bool wait_deadline_in(PyObject* seconds, time_point& deadline);

// `number < 0` as Python evaluates it: 1, 0, or -1 with an exception.
int is_negative(PyObject* number);

}  // namespace triga::py
