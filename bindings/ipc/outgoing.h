// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "bindings/processes/pickling.h"
#include "runtime/proc/channel.h"

namespace triga::ipc {

// How an object travels: the tag of its message. Exact objects of the simplest types need no pickle; no
// reducer that a program may have registered is ever asked about them by pickle either.
enum class form : std::uint16_t { pickle, integer, real, none, yes, no, bytes, ascii };

// An object on its way into a queue. Refers to the object, which has to stay alive.
class outgoing {
 public:
  // Throws error_already_set with what pickling raised.
  outgoing(PyObject* object, encoders& encode);
  // What somebody else has pickled.
  explicit outgoing(proc::byte_span pickle) noexcept : piece_(pickle) {}
  outgoing(const outgoing&) = delete;
  outgoing& operator=(const outgoing&) = delete;
  outgoing(outgoing&&) = delete;
  outgoing& operator=(outgoing&&) = delete;
  ~outgoing() = default;

  [[nodiscard]] proc::content content() const {
    if (pickled_) return pickled_->content();
    return {.body = std::span(&piece_, piece_.empty() ? 0 : 1), .buffers = {}};
  }
  [[nodiscard]] std::uint64_t sequence() const noexcept { return value_; }
  [[nodiscard]] std::uint16_t tag() const noexcept { return static_cast<std::uint16_t>(form_); }
  [[nodiscard]] std::size_t size() const noexcept { return pickled_ ? pickled_->size() : piece_.size(); }

 private:
  bool is_simple(PyObject* object);

  form form_ = form::pickle;
  std::uint64_t value_ = 0;
  proc::byte_span piece_;
  std::optional<encoders::encoded> pickled_;
};

// The object that a message holds. Throws error_already_set with what unpickling raised, OSError where the
// machine has no memory for it.
pybind11::object incoming(proc::message& from, const decoder& decode);

}  // namespace triga::ipc
