// SPDX-License-Identifier: MIT
#include "runtime/embed/convert.h"

namespace triga::embed::detail {

outcome<object> call(const object& callable, const object* arguments, std::size_t count) {
  std::vector<PyObject*> stack;
  stack.reserve(count);
  for (std::size_t at = 0; at < count; ++at) {
    if (!arguments[at]) return take_failure();
    stack.push_back(arguments[at].get());
  }
  object returned = object::owning(PyObject_Vectorcall(callable.get(), stack.data(), count, nullptr));
  if (!returned) return take_failure();
  return returned;
}

}  // namespace triga::embed::detail
