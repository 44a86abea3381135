// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace triga::native {

// The types that a native function may take and return.
enum class kind : std::uint8_t {
  nothing,  // void, as a result
  boolean,
  int8,
  uint8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
  float32,
  float64,
  pointer,
};

[[nodiscard]] constexpr bool is_float(kind type) noexcept {
  return type == kind::float32 || type == kind::float64;
}

// How many arguments of each class go into registers on every machine that is supported.
inline constexpr std::size_t most_integers = 6;  // with pointers and booleans
inline constexpr std::size_t most_floats = 8;

// Whether this machine's calling convention is one that call() knows.
#if defined(__x86_64__) || defined(__aarch64__)
inline constexpr bool supported = true;
#else
inline constexpr bool supported = false;
#endif

class arguments;
class outcome;

// Calls the function. Requires `supported`. A narrow integer result is the lower part of the register: the
// upper one is whatever the function left there.
outcome call(const void* function, const arguments& given, kind returns) noexcept;

// The arguments of one call, where the calling convention wants them.
//
// The System V convention of x86-64 and the procedure call standard of AArch64 agree on what this needs:
// integers and pointers go into integer registers in their order, floating-point numbers into vector
// registers in theirs, each class by itself; a narrow integer is widened to its register, a float is the
// lower half of one; and a function ignores registers that it has no parameter for. So one call that fills
// every register fits any function whose arguments all go into registers. What does not (structures by value,
// long double, more arguments, variadic functions) is refused before.
class arguments {
 public:
  // False: there are more than fit.
  [[nodiscard]] bool add_integer(std::uint64_t widened) noexcept {
    if (integer_count_ == most_integers) return false;
    integers_[integer_count_++] = widened;
    return true;
  }
  [[nodiscard]] bool add_float64(double value) noexcept {
    if (float_count_ == most_floats) return false;
    floats_[float_count_++] = value;
    return true;
  }
  [[nodiscard]] bool add_float32(float value) noexcept {
    return add_float64(std::bit_cast<double>(std::uint64_t{std::bit_cast<std::uint32_t>(value)}));
  }
  [[nodiscard]] bool add_pointer(const void* address) noexcept {
    return add_integer(std::bit_cast<std::uintptr_t>(address));
  }

  // Replaces an integer that was added, as number `at` of them.
  void set_integer(std::size_t at, std::uint64_t widened) noexcept { integers_[at] = widened; }

 private:
  friend outcome call(const void* function, const arguments& given, kind returns) noexcept;
  std::array<std::uint64_t, most_integers> integers_{};
  std::array<double, most_floats> floats_{};
  std::size_t integer_count_ = 0;
  std::size_t float_count_ = 0;
};

// What a call returned: the register that the result's class is returned in.
class outcome {
 public:
  [[nodiscard]] std::uint64_t integer() const noexcept { return integer_; }
  [[nodiscard]] double float64() const noexcept { return float_; }
  [[nodiscard]] float float32() const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(float_)));
  }

 private:
  friend outcome call(const void* function, const arguments& given, kind returns) noexcept;
  std::uint64_t integer_ = 0;
  double float_ = 0;
};

}  // namespace triga::native
