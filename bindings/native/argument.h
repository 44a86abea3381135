// SPDX-License-Identifier: MIT
#pragma once

#include "bindings/native/function.h"

namespace triga {

// Where an argument stands, for messages: "argument 2 of f(): ".
struct argument_place {
  const std::string& function;
  std::size_t number;  // from 1
};

// Converts one argument and adds it to the registers (and what it points to to the buffers). Throws
// error_already_set with TypeError, ValueError or BufferError that names the place, what was expected and
// what came.
void add_argument(const argument_place& place, const native_type& type, pybind11::handle given,
                  Py_ssize_t at_least, native_arguments& to);

}  // namespace triga
