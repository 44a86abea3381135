// SPDX-License-Identifier: MIT
#include "bindings/types/received_bytes.h"

namespace triga {

thread_local received_bytes* received_bytes::current_ = nullptr;

bool received_bytes::note(PyObject* bytes, shm::block& from) {
  if (current_ == nullptr || !from.keeps_its_pages()) return false;
  current_->entries_.push_front({py::ref::borrow(bytes), std::move(from)});
  return true;
}

shm::block* received_bytes::block_of(PyObject* bytes) noexcept {
  if (current_ == nullptr) return nullptr;
  for (entry& each : current_->entries_) {
    if (each.bytes.get() == bytes) return &each.from;
  }
  return nullptr;
}

}  // namespace triga
