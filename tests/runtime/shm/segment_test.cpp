// SPDX-License-Identifier: MIT
#include "runtime/shm/segment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
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
