// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <optional>

#include "bindings/py/ref.h"

namespace triga {

// A function or class that pickle sends by name, as the attribute of a module: who has looked it up once can
// tell with two look-ups in dictionaries that the name still means the same object.
class global_name {
 public:
  // nullopt, with no exception set, for whatever is pickled in another way.
  static std::optional<global_name> of(PyObject* object);

  [[nodiscard]] PyObject* object() const noexcept { return object_.get(); }
  [[nodiscard]] bool still_means_it() const noexcept;
  int visit(visitproc visit_one, void* argument) const { return object_.visit(visit_one, argument); }

 private:
  global_name() = default;

  py::ref object_;
  py::ref module_name_;
  py::ref name_;
};

}  // namespace triga
