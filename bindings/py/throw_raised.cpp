// SPDX-License-Identifier: MIT
#include "bindings/py/throw_raised.h"

#include <pybind11/pybind11.h>

namespace triga::py {

void throw_raised() { throw pybind11::error_already_set(); }

}  // namespace triga::py
