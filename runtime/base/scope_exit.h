// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>
#include <utility>

namespace triga {

// Runs a function when the scope ends, unless dismissed.
template <class Function>
class [[nodiscard]] scope_exit {
 public:
  explicit scope_exit(Function function) noexcept(std::is_nothrow_move_constructible_v<Function>)
      : function_(std::move(function)) {}
  scope_exit(const scope_exit&) = delete;
  scope_exit& operator=(const scope_exit&) = delete;
  scope_exit(scope_exit&&) = delete;
  scope_exit& operator=(scope_exit&&) = delete;
  ~scope_exit() {
    if (armed_) function_();
  }

  void dismiss() noexcept { armed_ = false; }

 private:
  Function function_;
  bool armed_ = true;
};

}  // namespace triga
