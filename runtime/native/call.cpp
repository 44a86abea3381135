// SPDX-License-Identifier: MIT
#include "runtime/native/call.h"

namespace triga::native {
namespace {

using word = std::uint64_t;
template <class Result>
using any_function = Result (*)(word, word, word, word, word, word, double, double, double, double, double,
                                double, double, double);

template <class Result>
#if defined(__clang__)
// The function's real type is another one on purpose.
[[clang::no_sanitize("function")]]
#endif
Result call_as(const void* function, const std::array<word, most_integers>& i,
               const std::array<double, most_floats>& f) {
  // NOLINTNEXTLINE(bugprone-bitwise-pointer-cast): a pointer to an object becomes one to a function
  const auto typed = std::bit_cast<any_function<Result>>(function);
  return typed(i[0], i[1], i[2], i[3], i[4], i[5], f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]);
}

}  // namespace

outcome call(const void* function, const arguments& given, kind returns) noexcept {
  outcome result;
  if (returns == kind::nothing) {
    call_as<void>(function, given.integers_, given.floats_);
  } else if (is_float(returns)) {
    result.float_ = call_as<double>(function, given.integers_, given.floats_);
  } else {
    result.integer_ = call_as<word>(function, given.integers_, given.floats_);
  }
  return result;
}

}  // namespace triga::native
