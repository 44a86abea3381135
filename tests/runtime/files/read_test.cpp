// SPDX-License-Identifier: MIT
#include "runtime/files/read.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

namespace triga::files {
namespace {

class Files : public testing::Test {
 protected:
  Files() {
    std::string pattern = testing::TempDir() + "triga_files_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~Files() override {
    for (const std::string& each : made_) unlink(each.c_str());
    rmdir(folder_.c_str());
  }
  std::string write(const std::string& name, std::size_t size) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << std::string(size, 'x');
    made_.push_back(path);
    return path;
  }
  [[nodiscard]] const std::string& folder() const { return folder_; }

  bool asked = false;
  stop_check stop = [this] { return asked; };
  std::vector<std::byte> rest;

 private:
  std::string folder_;
  std::vector<std::string> made_;
};

bool all_x(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte each) { return each == std::byte{'x'}; });
}

TEST_F(Files, AreReadIntoTheMemoryThatTheirSizeAsksFor) {
  const auto path = write("a", 100'000);
  ASSERT_EQ(*size_of(path), 100'000U);
  std::vector<std::byte> memory(100'000);
  const auto filled = read_file(path, memory, rest, stop);
  ASSERT_TRUE(filled);
  EXPECT_EQ(*filled, 100'000U);
  EXPECT_TRUE(rest.empty());
  EXPECT_TRUE(all_x(memory));
}

TEST_F(Files, ThatChangedTheirSizeAreReadToTheirEnd) {
  const auto path = write("a", 10'000);
  std::vector<std::byte> memory(4000);
  EXPECT_EQ(*read_file(path, memory, rest, stop), 4000U);
  EXPECT_EQ(rest.size(), 6000U);
  EXPECT_TRUE(all_x(rest));
  rest.clear();
  memory.resize(20'000);
  EXPECT_EQ(*read_file(path, memory, rest, stop), 10'000U);
  EXPECT_TRUE(rest.empty());
}

TEST_F(Files, WithoutASizeAreReadAllTheSame) {
  EXPECT_EQ(*size_of("/proc/self/status"), 0U);
  EXPECT_EQ(*read_file("/proc/self/status", {}, rest, stop), 0U);
  EXPECT_GT(rest.size(), 100U);
}

TEST_F(Files, ThatCannotBeReadGiveTheirErrno) {
  EXPECT_EQ(size_of(folder() + "/none").error(), ENOENT);
  EXPECT_EQ(read_file(folder() + "/none", {}, rest, stop).error(), ENOENT);
  EXPECT_EQ(read_file(folder(), {}, rest, stop).error(), EISDIR);
}

TEST_F(Files, AreHashedBlockByBlock) {
  const auto path = write("a", 1'000'000);
  const codec::digest_algorithm sha256("sha256");
  codec::digest whole(sha256);
  codec::digest parts(sha256);
  const std::string text(1'000'000, 'x');
  std::vector<std::byte> expected(sha256.size());
  std::vector<std::byte> got(sha256.size());
  std::vector<std::byte> block(4096);
  ASSERT_TRUE(whole.start() && whole.update(std::as_bytes(std::span(text))) && whole.finish(expected));
  ASSERT_TRUE(parts.start());
  EXPECT_EQ(*hash_file(path, parts, block, stop), 1'000'000U);
  ASSERT_TRUE(parts.finish(got));
  EXPECT_EQ(got, expected);
}

TEST_F(Files, StopBeingReadWhenAskedTo) {
  const auto path = write("a", 1000);
  const codec::digest_algorithm sha256("sha256");
  codec::digest hash(sha256);
  std::vector<std::byte> block(4096);
  asked = true;
  ASSERT_TRUE(hash.start());
  EXPECT_EQ(hash_file(path, hash, block, stop).error(), ECANCELED);
  EXPECT_EQ(read_file(path, block, rest, stop).error(), ECANCELED);
}

}  // namespace
}  // namespace triga::files
