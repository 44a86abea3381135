// SPDX-License-Identifier: MIT
// The clock of a loop: time(), and what follows from a program's having replaced it.
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"
#include "runtime/base/clock.h"

namespace triga::loops {

// When loop.time() says `seconds`. Rounded up, so that a timer never fires before time() has reached it.
time_point time_of(double seconds) noexcept;

// time() + delay, as asyncio's call_later() adds them. Null with an exception set.
py::ref time_after(PyObject* self, PyObject* delay);

// Finds out whether time() is ours: a subclass may have another, or somebody assigned one to the loop. Then
// the timers go by it.
void look_at_clock(PyObject* self) noexcept;

// tp_setattro of LoopBase: looks at the clock when `time` is assigned or deleted.
int loop_setattr(PyObject* self, PyObject* name, PyObject* value);

extern PyMethodDef clock_methods[];

}  // namespace triga::loops
