// SPDX-License-Identifier: MIT
#include "runtime/codec/digest.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "runtime/codec/library.h"

namespace triga::codec {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte each : bytes) {
    for (const unsigned half :
         {std::to_integer<unsigned>(each) >> 4, std::to_integer<unsigned>(each) & 15U}) {
      text += "0123456789abcdef"[half];
    }
  }
  return text;
}

std::string digest_of(const std::string& algorithm, std::string_view text) {
  const digest_algorithm chosen(algorithm);
  digest computation(chosen);
  std::vector<std::byte> result(chosen.size());
  EXPECT_TRUE(computation.start());
  EXPECT_TRUE(computation.update(std::as_bytes(std::span(text))));
  EXPECT_TRUE(computation.finish(result));
  return hex(result);
}

TEST(Digest, KnowsThePublishedValues) {
  EXPECT_EQ(digest_of("sha256", "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of("sha1", ""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(digest_of("sha3_256", "abc"), "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
  EXPECT_EQ(digest_algorithm("blake2b").size(), 64U);
  EXPECT_EQ(digest_algorithm("blake2s").size(), 32U);
}

TEST(Digest, CanBeStartedAnew) {
  const digest_algorithm md5("md5");
  digest computation(md5);
  std::vector<std::byte> result(md5.size());
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(computation.start());
    ASSERT_TRUE(computation.finish(result));
    EXPECT_EQ(hex(result), "d41d8cd98f00b204e9800998ecf8427e");
  }
}

TEST(Digest, RefusesUnknownNamesAndThoseWithoutALength) {
  EXPECT_THROW(digest_algorithm("sha-nonesuch"), std::invalid_argument);
  EXPECT_THROW(digest_algorithm("shake128"), std::invalid_argument);
}

TEST(Library, ThatIsNotThereNamesThePackage) {
  static constexpr const char* names[] = {"libnonesuch-triga.so.1"};
  try {
    const library missing(names, "libnonesuch1");
    FAIL();
  } catch (const library_missing& error) {
    EXPECT_STREQ(
        error.what(),
        "libnonesuch-triga.so.1 cannot be loaded; install the package libnonesuch1 (its name on Debian and "
        "Ubuntu)");
  }
}

TEST(Library, WithoutAFunctionSaysSo) {
  static constexpr const char* names[] = {"libc.so.6"};
  const library found(names, "libc6");
  int (*function)() = nullptr;
  EXPECT_FALSE(found.try_find("no_such_function", function));
  EXPECT_THROW(found.find("no_such_function", function), library_missing);
}

}  // namespace
}  // namespace triga::codec
