// SPDX-License-Identifier: MIT
#include "runtime/native/call.h"

#include <gtest/gtest.h>

#include <limits>

namespace triga::native {
namespace {

template <class Function>
const void* address(Function* function) {
  return std::bit_cast<const void*>(function);
}

int add(int a, int b) { return a + b; }
double mix(int a, double b, long c, float d, const double* e) {
  return a + (10 * b) + (100 * static_cast<double>(c)) + (1000 * static_cast<double>(d)) + (10'000 * *e);
}
float halve(float value) { return value / 2; }
void store(int* to, int value) { *to = value; }
signed char negative() { return -5; }
bool is_even(unsigned long value) { return value % 2 == 0; }
double sum_of_all(long a, double s, long b, double t, long c, double u, long d, double v, long e, double w,
                  long f, double x, double y, double z) {
  return static_cast<double>(a + (2 * b) + (3 * c) + (4 * d) + (5 * e) + (6 * f)) + (0.5 * s) + (0.25 * t) +
         (0.125 * u) + v + w + x + y + z;
}

TEST(NativeCall, PassesIntegersAndReturnsOne) {
  arguments given;
  ASSERT_TRUE(given.add_integer(static_cast<std::uint64_t>(-40)));
  ASSERT_TRUE(given.add_integer(2));
  EXPECT_EQ(static_cast<std::int32_t>(call(address(add), given, kind::int32).integer()), -38);
}

TEST(NativeCall, PassesEachClassInItsOwnOrder) {
  const double pointee = 5;
  arguments given;
  ASSERT_TRUE(given.add_integer(1));
  ASSERT_TRUE(given.add_float64(2));
  ASSERT_TRUE(given.add_integer(3));
  ASSERT_TRUE(given.add_float32(4));
  ASSERT_TRUE(given.add_pointer(&pointee));
  EXPECT_DOUBLE_EQ(call(address(mix), given, kind::float64).float64(), 54321);
}

TEST(NativeCall, FloatsAreTheLowerHalfOfTheirRegister) {
  arguments given;
  ASSERT_TRUE(given.add_float32(5));
  EXPECT_EQ(call(address(halve), given, kind::float32).float32(), 2.5F);
}

TEST(NativeCall, VoidFunctionsAndNarrowResults) {
  int target = 0;
  arguments given;
  ASSERT_TRUE(given.add_pointer(&target));
  ASSERT_TRUE(given.add_integer(7));
  static_cast<void>(call(address(store), given, kind::nothing));
  EXPECT_EQ(target, 7);
  EXPECT_EQ(static_cast<std::int8_t>(call(address(negative), {}, kind::int8).integer()), -5);
  arguments even;
  ASSERT_TRUE(even.add_integer(1'000'000'000'000));
  EXPECT_EQ(call(address(is_even), even, kind::boolean).integer() & 0xff, 1U);
}

TEST(NativeCall, FillsEveryRegisterAndRefusesMore) {
  arguments given;
  for (std::uint64_t i = 1; i <= most_integers; ++i) ASSERT_TRUE(given.add_integer(i));
  for (std::size_t i = 0; i < most_floats; ++i) ASSERT_TRUE(given.add_float64(i < 3 ? 8.0 : 1.0));
  EXPECT_FALSE(given.add_integer(0));
  EXPECT_FALSE(given.add_float64(0));
  // 1 + 4 + 9 + 16 + 25 + 36, and 4 + 2 + 1 + 5
  EXPECT_DOUBLE_EQ(call(address(sum_of_all), given, kind::float64).float64(), 91 + 12);
}

TEST(NativeCall, AnArgumentCanBeSetAnew) {
  arguments given;
  ASSERT_TRUE(given.add_integer(1));
  ASSERT_TRUE(given.add_integer(1));
  given.set_integer(1, 41);
  EXPECT_EQ(call(address(add), given, kind::int32).integer() & 0xffffffff, 42U);
}

}  // namespace
}  // namespace triga::native
