// SPDX-License-Identifier: MIT
#include <cstddef>

#include "bindings/types/call_extras.h"
#include "bindings/types/future.h"
#include "bindings/types/worker_context.h"

namespace triga {

std::size_t future_call::total() const noexcept {
  return positional_ + (names_ != nullptr ? static_cast<std::size_t>(PyTuple_GET_SIZE(names_)) : 0);
}

bool future_call::set(PyObject* function, PyObject* const* args, std::size_t positional, PyObject* names) {
  const std::size_t count =
      positional + (names != nullptr ? static_cast<std::size_t>(PyTuple_GET_SIZE(names)) : 0);
  if (count > inline_arguments) {
    many_ = static_cast<PyObject**>(PyMem_Malloc((1 + count) * sizeof(PyObject*)));
    if (many_ == nullptr) {
      PyErr_NoMemory();
      return false;
    }
  }
  function_ = Py_NewRef(function);
  names_ = Py_XNewRef(names);
  positional_ = positional;
  PyObject** const to = slots() + 1;
  for (std::size_t i = 0; i < count; ++i) to[i] = Py_NewRef(args[i]);
  return true;
}

PyObject* future_call::invoke() {
  PyObject* const context_run = current_worker_context();
  PyObject* const outcome =
      context_run != nullptr
          ? PyObject_CallOneArg(context_run, function_)
          : PyObject_Vectorcall(function_, slots() + 1, positional_ | PY_VECTORCALL_ARGUMENTS_OFFSET, names_);
  clear();
  return outcome;
}

// What was called may be destroyed here, which runs other code: everything is taken out first.
void future_call::clear() noexcept {
  if (function_ == nullptr) return;
  const std::size_t count = total();
  PyObject* taken[1 + inline_arguments];
  PyObject** const many = many_;
  PyObject** const from = many != nullptr ? many : taken;
  if (many == nullptr) {
    for (std::size_t i = 1; i <= count; ++i) taken[i] = few_[i];
  }
  PyObject* const function = function_;
  PyObject* const names = names_;
  function_ = names_ = nullptr;
  many_ = nullptr;
  positional_ = 0;
  for (std::size_t i = 1; i <= count; ++i) Py_DECREF(from[i]);
  PyMem_Free(many);
  Py_XDECREF(names);
  Py_DECREF(function);
}

int future_call::visit(visitproc visit_one, void* argument) const {
  if (function_ == nullptr) return 0;
  if (const int stop = visit_one(function_, argument)) return stop;
  for (std::size_t i = 1; i <= total(); ++i) {
    if (const int stop = visit_one(slots()[i], argument)) return stop;
  }
  return 0;
}

PyObject* future_call::args_tuple() const {
  PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(positional_));
  for (std::size_t i = 0; tuple != nullptr && i < positional_; ++i) {
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), Py_NewRef(slots()[1 + i]));
  }
  return tuple;
}

PyObject* future_call::kwargs_dict() const {
  PyObject* const dict = PyDict_New();
  for (std::size_t i = positional_; dict != nullptr && i < total(); ++i) {
    PyDict_SetItem(dict, PyTuple_GET_ITEM(names_, static_cast<Py_ssize_t>(i - positional_)), slots()[1 + i]);
  }
  return dict;
}

namespace {

// The exception that is set, with its traceback, as an object; none is set afterwards.
PyObject* take_exception() {
#if PY_VERSION_HEX >= 0x030C0000
  return PyErr_GetRaisedException();
#else
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  if (trace != nullptr) PyException_SetTraceback(value, trace);
  Py_XDECREF(type);
  Py_XDECREF(trace);
  return value;
#endif
}

}  // namespace

bool future_call::run_plain(future_object* future) {
  const int start = future_start(future);
  if (start != 1) {
    clear();
    return start == 0;
  }
  PyObject* const result = invoke();
  if (result != nullptr) {
    const bool well = future_complete(future, result, nullptr);
    Py_DECREF(result);
    return well;
  }
  PyObject* const exception = take_exception();
  const bool well = future_complete(future, nullptr, exception);
  Py_XDECREF(exception);
  return well;
}

void future_call::give_extras(std::unique_ptr<call_extras> given) noexcept { set_extras(given.release()); }

void future_call::drop_extras() noexcept {
  if (extras() == nullptr) return;
  delete static_cast<call_extras*>(extras());
  set_extras(nullptr);
}

void future_call::run() {
  future_object* const future = owner_of(*this);
  bool well = true;
  if (extras() == nullptr) {
    well = run_plain(future);
  } else {
    well = run_with_extras(future, *static_cast<call_extras*>(extras()));
    drop_extras();
  }
  // A callback raised what is no Exception, or somebody else completed the future.
  if (!well) report_worker_error();
  Py_DECREF(future);
}

}  // namespace triga
