// SPDX-License-Identifier: MIT
#include "bindings/register.h"
#include "bindings/types/thread_handle.h"
#include "bindings/types/thread_start.h"

namespace triga {

void register_threads(pybind11::module_& core) {
  add_thread_handle_types(core.ptr());
  add_thread_functions(core.ptr());
}

}  // namespace triga
