// SPDX-License-Identifier: MIT
#include "bindings/module_state.h"
#include "bindings/register.h"
#include "bindings/types/completion.h"
#include "bindings/types/executor.h"
#include "bindings/types/future.h"
#include "bindings/types/mapped_items.h"
#include "bindings/types/work_queue.h"

namespace triga {

void register_futures(pybind11::module_& core) {
  PyObject* const module = core.ptr();
  add_future_type(module);
  add_completion_type(module);
  add_work_queue_type(module);
  add_executor_type(module);
  add_mapped_items_type(module);
  core.def(
      "set_future_class",
      [module](const pybind11::object& future, const pybind11::object& report) {
        futures_state& state = state_of(module).futures;
        state.future = py::ref::borrow(future.ptr());
        state.report_callback = py::ref::borrow(report.ptr());
      },
      "Says which class submit() makes, and which function (future, exception) logs what a callback raised.");
}

}  // namespace triga
