// SPDX-License-Identifier: MIT
#include "runtime/shm/segment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/shm/slab.h"

namespace {

using namespace triga;
using namespace triga::shm;

TEST(Segment, ItsSizeIsSealed) {
  const auto home = segment::create("t", 4096).value_or_throw("segment");
  EXPECT_NE(::ftruncate(home.descriptor(), 0), 0);
  EXPECT_NE(::ftruncate(home.descriptor(), 1 << 20), 0);
}

TEST(Segment, TwoMappingsSeeOneMemory) {
  const auto home = segment::create("t", 8192).value_or_throw("segment");
  const auto one = home.map(0, 8192, segment::access::shared).value_or_throw("map");
  const auto other = home.map(5000, 100, segment::access::shared).value_or_throw("map");
  one.data()[5001] = std::byte{42};
  EXPECT_EQ(other.data()[1], std::byte{42});
}

TEST(Segment, RefusesToMapBeyondItsEnd) {
  const auto home = segment::create("t", 4096).value_or_throw("segment");
  EXPECT_EQ(home.map(0, 4097, segment::access::shared).error(), EINVAL);
  EXPECT_EQ(home.map(~std::uint64_t{0}, 2, segment::access::shared).error(), EINVAL);
  EXPECT_EQ(home.map(0, 0, segment::access::shared).error(), EINVAL);
}

TEST(Segment, AdoptsOnlyWhatIsSealed) {
  EXPECT_FALSE(segment::adopt(unique_fd(::memfd_create("unsealed", MFD_ALLOW_SEALING))));
  EXPECT_FALSE(segment::adopt(unique_fd(::open("/dev/null", O_RDWR))));
  const auto home = segment::create("t", 4096).value_or_throw("segment");
  const auto adopted = segment::adopt(unique_fd(::dup(home.descriptor())));
  ASSERT_TRUE(adopted);
  EXPECT_EQ((*adopted).size(), 4096U);
}

TEST(Slab, ABlockGivesItsPagesBack) {
  auto home =
      std::make_shared<const segment>(segment::create("t", std::uint64_t{1} << 50).value_or_throw("segment"));
  slab_writer slab(std::uint64_t{1} << 40, std::uint64_t{1} << 50);
  const std::vector<std::byte> bytes(1 << 20, std::byte{7});
  const auto where = slab.reserve(bytes.size());
  ASSERT_TRUE(where);
  ASSERT_EQ(home->write_at((*where).offset, bytes), 0);
  EXPECT_EQ(home->present(), bytes.size());
  {
    const block payload(home, *where);
    const auto mapped = payload.map().value_or_throw("map");
    EXPECT_EQ(std::vector(mapped.bytes().begin(), mapped.bytes().end()), bytes);
  }
  EXPECT_EQ(home->present(), 0U);
}

// A hole in a part of a page only zeroes it: each payload left its last page behind, until the worker ended.
TEST(Slab, ABlockGivesItsLastPageBackToo) {
  auto home = std::make_shared<const segment>(segment::create("t", 1 << 20).value_or_throw("segment"));
  const std::vector<std::byte> bytes(5000, std::byte{7});
  ASSERT_EQ(home->write_at(4096, bytes), 0);
  {
    const block payload(home, {4096, bytes.size()});
  }
  EXPECT_EQ(home->present(), 0U);
}

TEST(Slab, ABlockThatLivedThroughAForkKeepsItsPages) {
  auto home = std::make_shared<const segment>(segment::create("t", 1 << 20).value_or_throw("segment"));
  const std::vector<std::byte> bytes(4096, std::byte{7});
  ASSERT_EQ(home->write_at(0, bytes), 0);
  {
    const block payload(home, {0, bytes.size()});
    note_fork();
  }
  EXPECT_EQ(home->present(), bytes.size());
}

// A region with kept places, its words in memory that both ends have.
struct kept_slab {
  std::shared_ptr<const segment> home =
      std::make_shared<const segment>(segment::create("t", std::uint64_t{1} << 50).value_or_throw("segment"));
  region in{.begin = std::uint64_t{1} << 40,
            .end = std::uint64_t{1} << 50,
            .keep = 8192,
            .places = std::make_shared<place_words>(),
            .maps = std::make_shared<place_maps>(std::uint64_t{1} << 40, 8192)};
  slab_writer writer{in};

  block_reference send(std::size_t size) {
    const std::vector<std::byte> bytes(size, std::byte{7});
    const block_reference where = writer.reserve(size).value_or_throw("reserve");
    EXPECT_EQ(writer.write(where, 0, bytes, *home), 0);
    return where;
  }
};

TEST(Slab, AKeptPlaceIsUsedAgainWhenItsBlockIsGone) {
  kept_slab slab;
  const auto first = slab.send(8000);
  {
    const block payload(slab.home, first, slab.in);
    EXPECT_NE(slab.send(100).offset, first.offset);
  }
  EXPECT_EQ(slab.home->present(), 8192U + 4096);
  EXPECT_EQ(slab.send(5000).offset, first.offset);
  EXPECT_EQ(slab.home->present(), 8192U + 4096);
}

TEST(Slab, AKeptPlaceKeepsNoMorePagesThanItMay) {
  kept_slab slab;
  {
    const block payload(slab.home, slab.send(1 << 20), slab.in);
  }
  EXPECT_EQ(slab.home->present(), 8192U);
}

// What is in the pages that stay is copied through mappings of both ends; what is beyond goes through the
// file.
TEST(Slab, APayloadPartlyInPagesThatStayArrivesWhole) {
  kept_slab slab;
  for (const std::size_t size : {5000U, 8192U, 30000U, 100U, 8191U, 8193U, 20000U}) {
    std::vector<std::byte> sent(size);
    for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<std::byte>((i + size) % 251);
    const block_reference where = slab.writer.reserve(size).value_or_throw("reserve");
    const auto half = static_cast<std::ptrdiff_t>(size / 2);
    ASSERT_EQ(slab.writer.write(where, 0, {sent.begin(), sent.begin() + half}, *slab.home), 0);
    ASSERT_EQ(slab.writer.write(where, size / 2, {sent.begin() + half, sent.end()}, *slab.home), 0);
    const block payload(slab.home, where, slab.in);
    std::vector<std::byte> got(size);
    ASSERT_EQ(payload.read(got), 0);
    EXPECT_EQ(got, sent);
  }
}

TEST(Slab, OnlyABlockThatLeavesNothingToDoCanBePassedOn) {
  kept_slab slab;
  const block small(slab.home, slab.send(8000), slab.in), large(slab.home, slab.send(9000), slab.in);
  const block once(slab.home, slab.send(10), slab.in);
  EXPECT_TRUE(small.lent_to(*slab.home));
  EXPECT_FALSE(large.lent_to(*slab.home)) << "pages have to go back to the machine";
  EXPECT_FALSE(once.lent_to(*slab.home)) << "it is in no kept place";
  const auto other = segment::create("t", 4096).value_or_throw("segment");
  EXPECT_FALSE(small.lent_to(other));
  note_fork();
  EXPECT_FALSE(small.lent_to(*slab.home)) << "a child has it, too";
}

TEST(Slab, WhatFindsNoKeptPlaceFreeGoesToOneThatIsUsedOnce) {
  kept_slab slab;
  for (std::size_t i = 0; i < kept_places; ++i) EXPECT_TRUE(slab.in.kept_place_of(slab.send(1)));
  const auto other = slab.send(1);
  EXPECT_FALSE(slab.in.kept_place_of(other));
  {
    const block payload(slab.home, other, slab.in);
  }
  EXPECT_NE(slab.send(1).offset, other.offset);
}

TEST(Slab, APlaceWhoseBlockLivedThroughAForkIsNotUsedAgain) {
  kept_slab slab;
  const auto first = slab.send(1);
  {
    const block payload(slab.home, first, slab.in);
    note_fork();
  }
  EXPECT_NE(slab.send(1).offset, first.offset);
}

TEST(Slab, APlaceTakenBackIsEmptyAndFree) {
  kept_slab slab;
  const auto first = slab.send(8000);
  slab.writer.take_back(first, *slab.home);
  EXPECT_EQ(slab.home->present(), 0U);
  EXPECT_EQ(slab.send(1).offset, first.offset);
}

TEST(Slab, ThePlaceWithTheFewestPagesThatSufficeIsTaken) {
  kept_slab slab;
  const auto large = slab.send(8000), small = slab.send(100);
  {
    const block one(slab.home, large, slab.in), other(slab.home, small, slab.in);
  }
  EXPECT_EQ(slab.send(50).offset, small.offset);
  EXPECT_EQ(slab.send(50).offset, large.offset);
}

// A region whose sender waits long for pages that are there, or not at all.
region patient_region(nanoseconds patience) {
  constexpr std::uint64_t begin = std::uint64_t{1} << 40;
  return {.begin = begin,
          .end = std::uint64_t{1} << 50,
          .keep = 1 << 20,
          .places = std::make_shared<place_words>(),
          .maps = std::make_shared<place_maps>(begin, 1 << 20),
          .patience = patience};
}

// A worker answers before it lets go of its arguments, so the next payload came before the place of the one
// before was free, and went to fresh memory: the second of a size took as long as the first.
TEST(Slab, ASenderWaitsForPagesThatAreThereBeforeItTakesFreshOnes) {
  kept_slab slab{.in = patient_region(std::chrono::hours(1))};
  const auto first = slab.send(1 << 20);
  std::optional<block> payload(std::in_place, slab.home, first, slab.in);
  const std::jthread receiver([&] { payload.reset(); });
  EXPECT_EQ(slab.send(1 << 20).offset, first.offset);
}

TEST(Slab, ASenderWaitsNoLongerThanItMay) {
  kept_slab slab{.in = patient_region(nanoseconds(1))};
  const auto first = slab.send(1 << 20);
  const block payload(slab.home, first, slab.in);
  EXPECT_NE(slab.send(1 << 20).offset, first.offset);
}

TEST(Slab, HandsOutAPlaceOnceAndEndsWithAnError) {
  slab_writer slab(4096, 4 * 4096);
  const auto one = slab.reserve(1);
  const auto two = slab.reserve(5000);
  ASSERT_TRUE(one && two);
  EXPECT_EQ((*one).offset, 4096U);
  EXPECT_EQ((*two).offset, 2U * 4096);
  EXPECT_EQ(slab.reserve(1).error(), ENOSPC);
}

TEST(Slab, AReferenceOutsideItsRegionIsSeen) {
  EXPECT_TRUE(lies_within({100, 10}, 100, 110));
  EXPECT_FALSE(lies_within({100, 11}, 100, 110));
  EXPECT_FALSE(lies_within({99, 1}, 100, 110));
  EXPECT_FALSE(lies_within({105, ~std::uint64_t{0}}, 100, 110));
  EXPECT_FALSE(lies_within({105, 0}, 100, 110));
}

}  // namespace
