// SPDX-License-Identifier: MIT
#include "runtime/base/ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace {

using triga::ring;

TEST(Ring, StartsWithEightPlacesAndDoubles) {
  ring<int> values;
  ASSERT_TRUE(values.reserve());
  EXPECT_EQ(values.capacity(), 8U);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(values.push(i));
  EXPECT_EQ(values.capacity(), 16U);
  EXPECT_EQ(values.size(), 9U);
}

TEST(Ring, HalvesWhenLessThanAQuarterIsUsed) {
  ring<int> values;
  ASSERT_TRUE(values.reserve());
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(values.push(i));
  EXPECT_EQ(values.capacity(), 1024U);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(values.pop(), i);
  EXPECT_EQ(values.capacity(), 8U);
  EXPECT_TRUE(values.empty());
}

TEST(Ring, KeepsOrderThroughRandomGrowthAndShrinking) {
  std::minstd_rand random(20261123);
  ring<int> values;
  ASSERT_TRUE(values.reserve());
  std::deque<int> model;
  for (int i = 0; i < 20'000; ++i) {
    const bool growing = (i / 1000) % 2 == 0;
    if (model.empty() || random() % 4 < (growing ? 3U : 1U)) {
      ASSERT_TRUE(values.push(i));
      model.push_back(i);
    } else {
      ASSERT_EQ(values.pop(), model.front());
      model.pop_front();
    }
    ASSERT_EQ(values.size(), model.size());
    if (!model.empty()) {
      ASSERT_EQ(values[0], model.front());
      ASSERT_EQ(values[model.size() - 1], model.back());
    }
  }
}

TEST(Ring, ReleaseMayBeCalledTwice) {
  ring<int> values;
  ASSERT_TRUE(values.reserve());
  values.release();
  values.release();
  EXPECT_EQ(values.capacity(), 0U);
}

}  // namespace
