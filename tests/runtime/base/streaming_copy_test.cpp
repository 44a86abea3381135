// SPDX-License-Identifier: MIT
#include "runtime/base/streaming_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace {

// Whole lines are written past the cache, what is before and after them is not; nothing beyond is touched.
TEST(StreamingCopy, CopiesAllAndNoMoreWhateverTheAlignment) {
  constexpr std::size_t large = std::size_t{8} << 20;
  std::vector<std::byte> from(large + 256), to(large + 256);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 31 % 253 + 1);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, large, large + 1, large + 100}) {
    for (const std::size_t lead : {0U, 1U, 63U}) {
      std::ranges::fill(to, std::byte{0});
      triga::streaming_copy(to.data() + lead, from.data() + 7, size);
      EXPECT_TRUE(std::equal(from.begin() + 7, from.begin() + 7 + static_cast<std::ptrdiff_t>(size),
                             to.begin() + static_cast<std::ptrdiff_t>(lead)));
      EXPECT_TRUE(lead == 0 || to[lead - 1] == std::byte{0});
      EXPECT_EQ(to[lead + size], std::byte{0});
    }
  }
}

}  // namespace
