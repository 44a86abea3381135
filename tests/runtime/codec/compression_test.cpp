// SPDX-License-Identifier: MIT
// One body for every library.
#include "runtime/codec/compression.h"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>
#include <vector>

#include "runtime/codec/library.h"

namespace triga::codec {
namespace {

constexpr std::size_t any_size = SIZE_MAX;

std::vector<std::byte> text_of(std::size_t size) {
  std::mt19937 random(7);  // NOLINT(bugprone-random-generator-seed): the same every time
  std::vector<std::byte> text(size);
  for (std::byte& each : text) each = static_cast<std::byte>(random() % 17);
  return text;
}

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

class Compression : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    try {
      with = find_compression(GetParam());
    } catch (const library_missing& error) {
      GTEST_SKIP() << error.what();
    }
  }
  std::unique_ptr<compression> with;
};

TEST_P(Compression, GivesBackWhatItWasGiven) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{3} << 20}) {
    const auto text = text_of(size);
    const output packed = with->compress(text, with->level_range().usual);
    EXPECT_TRUE(size < 100 || packed.size() < size);
    EXPECT_EQ(copy_of(with->decompress(packed.bytes(), any_size).bytes()), text);
  }
}

TEST_P(Compression, ExpandsWhatBecomesManyTimesLarger) {
  const std::vector<std::byte> zeros(std::size_t{8} << 20);
  const output packed = with->compress(zeros, with->level_range().usual);
  EXPECT_LT(packed.size(), zeros.size() / 100);
  EXPECT_EQ(copy_of(with->decompress(packed.bytes(), any_size).bytes()), zeros);
  EXPECT_EQ(with->decompress(packed.bytes(), zeros.size()).size(), zeros.size());
  EXPECT_THROW(with->decompress(packed.bytes(), zeros.size() - 1), codec_error);
}

TEST_P(Compression, RefusesEveryTruncation) {
  const auto text = text_of(300);
  const output packed = with->compress(text, with->level_range().usual);
  for (std::size_t length = 0; length < packed.size(); ++length) {
    EXPECT_THROW(with->decompress(packed.bytes().first(length), any_size), codec_error) << length;
  }
}

TEST_P(Compression, RefusesRubbishWithoutHarm) {
  std::mt19937 random(9);  // NOLINT(bugprone-random-generator-seed): the same every time
  const auto packed = copy_of(with->compress(text_of(2000), with->level_range().usual).bytes());
  for (int round = 0; round < 300; ++round) {
    auto spoilt = packed;
    spoilt[random() % spoilt.size()] ^= static_cast<std::byte>(1U << (random() % 8));
    try {
      static_cast<void>(with->decompress(spoilt, std::size_t{1} << 20));
    } catch (const codec_error&) {
      continue;  // nearly all are found out; a flag that does not matter is none of them
    }
  }
  EXPECT_THROW(with->decompress(text_of(500), any_size), codec_error);
}

TEST_P(Compression, RefusesWhatGoesOnBehindTheEnd) {
  auto packed = copy_of(with->compress(text_of(100), with->level_range().usual).bytes());
  packed.push_back(std::byte{7});
  EXPECT_THROW(with->decompress(packed, any_size), codec_error);
}

TEST_P(Compression, TakesTheLevelsThatItNames) {
  const auto text = text_of(5000);
  const auto range = with->level_range();
  for (const int level : {range.least, range.usual, range.greatest}) {
    EXPECT_EQ(copy_of(with->decompress(with->compress(text, level).bytes(), any_size).bytes()), text)
        << level;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Compression, testing::Values("zlib", "zstd"),
                         [](const auto& each) { return std::string(each.param); });

TEST(CompressionName, ThatIsUnknownIsRefused) {
  EXPECT_THROW(find_compression("lzma"), std::invalid_argument);
}

}  // namespace
}  // namespace triga::codec
