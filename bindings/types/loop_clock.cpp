// SPDX-License-Identifier: MIT
#include "bindings/types/loop_clock.h"

#include <chrono>
#include <cmath>
#include <optional>

#include "bindings/types/loop.h"

namespace triga::loops {
namespace {

double seconds_now() noexcept {
  return std::chrono::duration<double>(monotonic_clock::now().time_since_epoch()).count();
}

PyObject* loop_time(PyObject*, PyObject*) { return PyFloat_FromDouble(seconds_now()); }

}  // namespace

time_point time_of(double seconds) noexcept {
  constexpr double limit = 9.2e9;  // seconds that 63 bits of nanoseconds hold
  if (!(seconds < limit)) return never;
  if (seconds < -limit) return time_point::min();
  return time_point(nanoseconds(static_cast<std::int64_t>(std::ceil(seconds * 1e9))));
}

py::ref time_after(PyObject* self, PyObject* delay) {
  const bool is_ours = fields(self).clock_replaced == 0 && !has_overrides(self);
  if (is_ours && (PyFloat_CheckExact(delay) || PyLong_CheckExact(delay))) {
    const double seconds = PyFloat_AsDouble(delay);
    if (seconds == -1.0 && PyErr_Occurred() != nullptr) return py::ref();
    return py::ref::steal(PyFloat_FromDouble(seconds_now() + seconds));
  }
  const py::ref now = py::ref::steal(PyObject_CallMethod(self, "time", nullptr));
  return now ? py::ref::steal(PyNumber_Add(now.get(), delay)) : py::ref();
}

void look_at_clock(PyObject* self) noexcept {
  const py::ref method = py::ref::steal(PyObject_GetAttrString(self, "time"));
  if (!method) PyErr_Clear();  // then it has no clock but ours
  const bool is_ours =
      !method || (PyCFunction_Check(method.get()) && PyCFunction_GET_FUNCTION(method.get()) == &loop_time);
  fields(self).clock_replaced = static_cast<char>(!is_ours);
}

int loop_setattr(PyObject* self, PyObject* name, PyObject* value) {
  const int outcome = PyObject_GenericSetAttr(self, name, value);
  if (outcome == 0 && name == core_of(self).types().time_name.get()) look_at_clock(self);
  return outcome;
}

std::optional<time_point> core::replaced_clock() {
  if (fields(self_).clock_replaced == 0) return std::nullopt;
  const py::ref now = py::ref::steal(PyObject_CallMethod(self_, "time", nullptr));
  const double seconds = now ? PyFloat_AsDouble(now.get()) : -1.0;
  // Before every timer; good() ends the turn.
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) return time_point::min();
  return time_of(seconds);
}

PyMethodDef clock_methods[] = {
    {"time", loop_time, METH_NOARGS, "The loop's clock: CLOCK_MONOTONIC in seconds."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga::loops
