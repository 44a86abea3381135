// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <memory>
#include <string>
#include <string_view>

#include "runtime/embed/outcome.h"

namespace triga::embed {

// A Python object that C++ holds: copied and dropped on any thread, with or without the GIL, so that a task
// can carry it. The copies share one reference; the last of them takes the GIL to give it back. An object
// that outlives its interpreter gives nothing back.
class object {
 public:
  object() noexcept = default;

  // Takes over a new reference. Requires the GIL; nullptr makes an empty object.
  [[nodiscard]] static object owning(PyObject* reference);
  // Adds a reference of its own. Requires the GIL.
  [[nodiscard]] static object borrowing(PyObject* reference) { return owning(Py_XNewRef(reference)); }

  [[nodiscard]] PyObject* get() const noexcept { return reference_.get(); }
  [[nodiscard]] explicit operator bool() const noexcept { return reference_ != nullptr; }

  // An attribute of the object. Takes the GIL.
  [[nodiscard]] outcome<object> attribute(const std::string& name) const;

 private:
  std::shared_ptr<PyObject> reference_;
};

// The exception that is set in this thread, which is cleared, as C++ values. Requires the GIL and a set
// exception.
[[nodiscard]] failure take_failure();

}  // namespace triga::embed
