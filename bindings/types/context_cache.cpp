// SPDX-License-Identifier: MIT
#include "bindings/types/context_cache.h"

#include <utility>
#include <vector>

namespace triga::handles {
namespace {

using words = std::vector<void*>;

// Everything in a Context behind the object's head.
words words_of(PyObject* context) {
  const auto* begin = reinterpret_cast<void* const*>(context + 1);
  const std::size_t size = static_cast<std::size_t>(Py_TYPE(context)->tp_basicsize) - sizeof(PyObject);
  const std::size_t count = size / sizeof(void*);
  return {begin, begin + count};
}

bool set_a_variable(PyObject* context) {
  const py::ref variable = py::ref::steal(PyContextVar_New("triga_probe", nullptr));
  if (!variable || PyContext_Enter(context) != 0) return false;
  const py::ref token = py::ref::steal(PyContextVar_Set(variable.get(), Py_None));
  return PyContext_Exit(context) == 0 && token;
}

// The one word that a copy has in common with its original, and that changes when a variable is set.
Py_ssize_t find_map(PyObject* context, PyObject* copy) {
  const words before = words_of(context);
  const words copied = words_of(copy);
  if (!set_a_variable(context)) return 0;
  const words after = words_of(context);
  Py_ssize_t found = 0;
  for (std::size_t at = 0; at < before.size(); ++at) {
    if (before[at] == nullptr || before[at] != copied[at] || before[at] == after[at]) continue;
    if (found != 0) return 0;
    found = static_cast<Py_ssize_t>(sizeof(PyObject) + at * sizeof(void*));
  }
  return found;
}

}  // namespace

void context_cache::probe() noexcept {
  const py::ref context = py::ref::steal(PyContext_New());
  const py::ref copy = context ? py::ref::steal(PyContext_Copy(context.get())) : py::ref();
  if (copy) map_at_ = find_map(context.get(), copy.get());
  weak_at_ = context ? Py_TYPE(context.get())->tp_weaklistoffset : 0;
  PyErr_Clear();
}

py::ref context_cache::new_snapshot() noexcept {
  snapshot_ = py::ref::steal(PyContext_CopyCurrent());
  if (!snapshot_) PyErr_Clear();
  return snapshot_;
}

void context_cache::let_go(const py::ref& snapshot) noexcept {
  constexpr Py_ssize_t ours = 2;  // snapshot_ and the holder's
  if (shares(snapshot) && Py_REFCNT(snapshot.get()) == ours) forget();
}

void context_cache::forget() noexcept {
  snapshot_.reset();
  spare_.reset();
}

int context_cache::traverse(visitproc visit, void* arg) const {
  Py_VISIT(snapshot_.get());
  Py_VISIT(spare_.get());
  return 0;
}

}  // namespace triga::handles
