// SPDX-License-Identifier: MIT
#include "runtime/proc/chunk_plan.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <vector>

namespace {

using triga::proc::chunk_plan;

std::vector<std::size_t> sizes_of(const chunk_plan& plan, std::size_t items) {
  std::vector<std::size_t> sizes;
  for (; items != 0; items -= sizes.back()) sizes.push_back(plan.next(items));
  return sizes;
}

TEST(ChunkPlan, EqualBoundsMakeEqualChunks) {
  const chunk_plan plan(4, 4, 1);
  EXPECT_EQ(sizes_of(plan, 10), (std::vector<std::size_t>{4, 4, 2}));
  EXPECT_EQ(plan.count(10), 3U);
  EXPECT_EQ(plan.count(8), 2U);
  EXPECT_EQ(plan.count(0), 0U);
  EXPECT_EQ(chunk_plan(1, 1, 1).count(std::numeric_limits<std::size_t>::max()),
            std::numeric_limits<std::size_t>::max());
}

TEST(ChunkPlan, ChunksShrinkToTheLeastWithWhatIsLeft) {
  const chunk_plan plan(13, 2, 8);
  const auto sizes = sizes_of(plan, 100);
  EXPECT_EQ(sizes.front(), 13U);
  for (std::size_t i = 1; i < sizes.size(); ++i) EXPECT_LE(sizes[i], sizes[i - 1]);
  EXPECT_LE(sizes.back(), 2U);
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}), 100U);
  EXPECT_EQ(plan.count(100), sizes.size());
}

TEST(ChunkPlan, NoNumberMakesItEmptyOrEndless) {
  EXPECT_EQ(chunk_plan(0, 0, 0).next(5), 1U);
  EXPECT_EQ(chunk_plan(3, 9, 0).next(5), 3U);
  EXPECT_EQ(chunk_plan(3, 1, 8).next(1), 1U);
}

}  // namespace
