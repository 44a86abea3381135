// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "bindings/native/function.h"
#include "bindings/native/loop.h"

namespace triga {

// A parallel for: function(begin, end, arguments...) for ranges that cover 0 to n - 1.
class function_loop final : public native_loop {
 public:
  // Throws error_already_set where the function is not of this kind or an argument does not fit.
  function_loop(std::shared_ptr<const native_function> function, std::uint64_t n, std::uint64_t chunk,
                const pybind11::tuple& arguments);

  // The first range (by its indices) for which the function returned something else than 0: (begin, end, what
  // it returned), or None.
  [[nodiscard]] pybind11::object failure() const;

 private:
  struct failed_range {
    exec::index_range range;
    native::outcome returned;
  };
  class call_part;

  std::unique_ptr<part> take_part() override;
  void note_failure(exec::index_range range, const native::outcome& returned) noexcept;

  const std::shared_ptr<const native_function> function_;
  native_arguments arguments_;
  mutable std::mutex mutex_;
  std::optional<failed_range> failure_;  // guarded by the mutex
};

}  // namespace triga
