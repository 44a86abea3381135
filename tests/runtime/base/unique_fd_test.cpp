// SPDX-License-Identifier: MIT
#include "runtime/base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <utility>

namespace {

using triga::unique_fd;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesWhatItOwns) {
  int raw = -1;
  {
    const unique_fd owner(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = owner.get();
    ASSERT_TRUE(is_open(raw));
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, MovingLeavesTheSourceEmpty) {
  unique_fd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int raw = first.get();
  const unique_fd second(std::move(first));
  EXPECT_EQ(second.get(), raw);
  EXPECT_TRUE(is_open(raw));
}

TEST(UniqueFd, ReleaseGivesOwnershipUp) {
  unique_fd owner(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const unique_fd heir(owner.release());
  EXPECT_FALSE(owner);
  EXPECT_TRUE(is_open(heir.get()));
}

}  // namespace
