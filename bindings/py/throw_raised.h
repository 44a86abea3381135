// SPDX-License-Identifier: MIT
#pragma once

namespace triga::py {

// Throws the exception that is set as pybind11::error_already_set, towards the function that pybind11 bound.
// For files that need nothing else of pybind11: its header alone takes ten seconds to compile.
[[noreturn]] void throw_raised();

}  // namespace triga::py
