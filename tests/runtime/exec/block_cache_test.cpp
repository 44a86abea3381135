// SPDX-License-Identifier: MIT
#include "runtime/exec/block_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace triga::exec {
namespace {

TEST(BlockCache, GivesBackWhatItKeptAndNoMore) {
  block_cache<2> cache;
  std::array<int, 3> blocks{};
  EXPECT_EQ(cache.take(), nullptr);
  EXPECT_TRUE(cache.keep(&blocks[0]));
  EXPECT_TRUE(cache.keep(&blocks[1]));
  EXPECT_FALSE(cache.keep(&blocks[2]));
  EXPECT_NE(cache.take(), cache.take());
  EXPECT_EQ(cache.take(), nullptr);
}

// A block belongs to one thread at a time: each writes to what it took, which ThreadSanitizer watches.
TEST(BlockCache, HandsABlockToOneThreadAtATime) {
  block_cache<4> cache;
  std::array<int, 4> blocks{};
  for (int& block : blocks) EXPECT_TRUE(cache.keep(&block));
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) {
        auto* const block = static_cast<int*>(cache.take());
        if (block == nullptr) continue;
        ++*block;
        taken.fetch_add(1, std::memory_order_relaxed);
        EXPECT_TRUE(cache.keep(block));
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(blocks[0] + blocks[1] + blocks[2] + blocks[3], taken.load());
}

}  // namespace
}  // namespace triga::exec
