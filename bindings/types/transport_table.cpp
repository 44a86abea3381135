// SPDX-License-Identifier: MIT
#include "bindings/types/transport_table.h"

#include <algorithm>
#include <utility>

namespace triga::loops {

transport_table::entry* transport_table::entry_of(int fd, const PyObject* transport) noexcept {
  const auto at = static_cast<std::size_t>(fd);
  if (fd < 0 || at >= by_descriptor_.size() || !by_descriptor_[at].holds(transport)) return nullptr;
  return &by_descriptor_[at];
}

PyObject* transport_table::find(int fd) const noexcept {
  const auto at = static_cast<std::size_t>(fd);
  return fd >= 0 && at < by_descriptor_.size() ? by_descriptor_[at].transport() : nullptr;
}

void transport_table::put(int fd, PyObject* transport) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= by_descriptor_.size()) by_descriptor_.resize(at + 1);
  entry& slot = by_descriptor_[at];
  if (slot.holds(transport)) return;
  if (slot.kept()) displaced_.push_back(slot.transport());
  slot.tagged =
      reinterpret_cast<std::uintptr_t>(transport) | std::uintptr_t{std::erase(displaced_, transport) != 0};
}

bool transport_table::take_off(int fd) {
  if (find(fd) == nullptr) return false;
  const entry former = std::exchange(by_descriptor_[static_cast<std::size_t>(fd)], {});
  if (former.kept()) displaced_.push_back(former.transport());
  return true;
}

void transport_table::remove(int fd, PyObject* transport) noexcept {
  entry* const found = entry_of(fd, transport);
  if (found == nullptr) return let_go(fd, transport);
  const bool kept = found->kept();
  *found = {};  // before what may be its end, which comes here again
  if (kept) Py_DECREF(transport);
}

void transport_table::keep(int fd, PyObject* transport) {
  if (entry* found = entry_of(fd, transport)) {
    if (found->kept()) return;
    found->tagged |= 1;
  } else {
    if (std::ranges::find(displaced_, transport) != displaced_.end()) return;
    displaced_.push_back(transport);
  }
  Py_INCREF(transport);
}

void transport_table::let_go(int fd, PyObject* transport) noexcept {
  if (entry* found = entry_of(fd, transport)) {
    if (!found->kept()) return;
    found->tagged &= ~std::uintptr_t{1};
  } else {
    const auto held = std::ranges::find(displaced_, transport);
    if (held == displaced_.end()) return;
    displaced_.erase(held);
  }
  Py_DECREF(transport);
}

// One after the other, by number: a transport that goes may take others off, or make new ones.
void transport_table::let_go_of_all() noexcept {
  for (std::size_t at = 0; at < by_descriptor_.size(); ++at) {
    if (!by_descriptor_[at].kept()) continue;
    by_descriptor_[at].tagged &= ~std::uintptr_t{1};
    Py_DECREF(by_descriptor_[at].transport());
  }
  while (!displaced_.empty()) {
    PyObject* transport = displaced_.back();
    displaced_.pop_back();
    Py_DECREF(transport);
  }
}

int transport_table::traverse(visitproc visit, void* arg) const {
  for (const entry& each : by_descriptor_) {
    if (each.kept()) Py_VISIT(each.transport());
  }
  for (PyObject* each : displaced_) Py_VISIT(each);
  return 0;
}

}  // namespace triga::loops
