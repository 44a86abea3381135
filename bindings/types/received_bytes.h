// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <forward_list>
#include <utility>

#include "bindings/py/ref.h"
#include "runtime/shm/slab.h"

namespace triga {

// The large bytes objects of one task and where each of them came in. A task that gives one back as it is
// need not copy it: bytes do not change, so what lies in shared memory is still the same. Kept until the task
// has been answered, and only for payloads in places that keep their pages anyway.
//
// One thread uses it, with the GIL held; a scope says which it is in the calling thread.
class received_bytes {
 public:
  class [[nodiscard]] scope {
   public:
    explicit scope(received_bytes& used) noexcept : before_(std::exchange(current_, &used)) {}
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    scope(scope&&) = delete;
    scope& operator=(scope&&) = delete;
    ~scope() { current_ = before_; }

   private:
    received_bytes* before_;
  };

  // Notes that `bytes` were read from that block; true if it has moved here, false outside of scopes.
  static bool note(PyObject* bytes, shm::block& from);
  // The block of those bytes, or null.
  static shm::block* block_of(PyObject* bytes) noexcept;

 private:
  struct entry {
    py::ref bytes;  // kept, so that no other object has its address
    shm::block from;
  };

  static thread_local received_bytes* current_;
  // Elements stay where they are, and none takes no memory: nearly no task has any.
  std::forward_list<entry> entries_;
};

}  // namespace triga
