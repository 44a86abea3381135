// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <utility>

namespace triga::py {

// The owner of one strong reference. Needs the GIL to be copied, reset or destroyed, as Py_DECREF does.
class ref {
 public:
  ref() noexcept = default;
  ref(const ref& other) noexcept : object_(Py_XNewRef(other.object_)) {}
  ref(ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  ref& operator=(const ref& other) noexcept {
    ref copy(other);
    std::swap(object_,
              copy.object_);  // the old one goes last, when this is whole: its destructor may run Python
    return *this;
  }
  ref& operator=(ref&& other) noexcept {
    ref moved(std::move(other));
    std::swap(object_, moved.object_);
    return *this;
  }
  ~ref() { Py_XDECREF(object_); }

  // Takes over a new reference, as most C-API calls return it (nullptr: the call failed and set an
  // exception).
  [[nodiscard]] static ref steal(PyObject* object) noexcept { return ref(object); }
  // Adds a reference to a borrowed object.
  [[nodiscard]] static ref borrow(PyObject* object) noexcept { return ref(Py_XNewRef(object)); }

  [[nodiscard]] PyObject* get() const noexcept { return object_; }
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(object_, nullptr); }
  [[nodiscard]] explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard]] PyTypeObject* type() const noexcept { return reinterpret_cast<PyTypeObject*>(object_); }

  // As Py_CLEAR: the member is empty before the object's destructor can run.
  void reset() noexcept { Py_XDECREF(release()); }

  // For tp_traverse.
  int visit(visitproc visit_one, void* argument) const {
    return object_ != nullptr ? visit_one(object_, argument) : 0;
  }

 private:
  explicit ref(PyObject* object) noexcept : object_(object) {}

  PyObject* object_ = nullptr;
};

}  // namespace triga::py
