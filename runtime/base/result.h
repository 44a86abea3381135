// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

namespace triga {

// What a system-call wrapper returns: a value, or the errno of the call that failed. Public factories turn a
// failure into std::system_error with value_or_throw(); everything below them passes it on.
template <class Value>
class [[nodiscard]] result {
 public:
  result(Value value) : value_(std::move(value)) {}
  static result failure(int error) { return result(failed{error}); }
  static result last_error() { return failure(errno); }

  [[nodiscard]] explicit operator bool() const noexcept { return value_.has_value(); }
  [[nodiscard]] int error() const noexcept { return error_; }
  // As with std::optional, the caller has looked first.
  // NOLINTBEGIN(bugprone-unchecked-optional-access)
  [[nodiscard]] Value& operator*() & noexcept { return *value_; }
  [[nodiscard]] const Value& operator*() const& noexcept { return *value_; }
  [[nodiscard]] Value&& operator*() && noexcept { return std::move(*value_); }
  [[nodiscard]] Value* operator->() noexcept { return &*value_; }
  // NOLINTEND(bugprone-unchecked-optional-access)

  Value value_or_throw(const char* what) && {
    if (!value_) throw std::system_error(error_, std::generic_category(), what);
    return std::move(*value_);
  }

 private:
  struct failed {
    int error;
  };
  explicit result(failed failure) : error_(failure.error) {}

  std::optional<Value> value_;
  int error_ = 0;
};

}  // namespace triga
