// SPDX-License-Identifier: MIT
// The fuzzer's readers on mutations of its seeds, the same at each run: what every build and sanitizer
// checks.
#include "tests/fuzz/hostile_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>

namespace {

using namespace triga;

// Changes some bytes, or puts one of the numbers there that arithmetic goes wrong with.
void mutate(std::vector<std::byte>& input, std::mt19937& random) {
  constexpr std::array<std::uint64_t, 8> numbers{
      0, 1, 7, 4096, UINT32_MAX, UINT64_MAX, UINT64_MAX - 7, std::uint64_t{1} << 63U};
  const unsigned changes = 1 + random() % 4;
  for (unsigned i = 0; i < changes; ++i) {
    // The headers are at the beginning, and are what a reader decides by.
    const std::size_t reach = random() % 4 == 0 ? input.size() : std::min<std::size_t>(input.size(), 1200);
    const std::size_t at = 1 + random() % (reach - 1);
    if (random() % 2 == 0) {
      input[at] = static_cast<std::byte>(random());
    } else {
      const std::size_t aligned = 1 + (at - 1) / 8 * 8;
      const std::uint64_t number = numbers[random() % numbers.size()];
      std::memcpy(input.data() + aligned, &number, std::min<std::size_t>(8, input.size() - aligned));
    }
  }
}

TEST(HostileMemory, SeedsAreRead) {
  for (const auto& seed : fuzz::seeds()) fuzz::read_hostile_memory(seed);
}

TEST(HostileMemory, MutationsGiveMessagesOrErrors) {
  std::mt19937 random(20'26);
  const auto seeds = fuzz::seeds();
  for (int round = 0; round < 4000; ++round) {
    auto input = seeds[static_cast<std::size_t>(round) % seeds.size()];
    mutate(input, random);
    fuzz::read_hostile_memory(input);
  }
}

}  // namespace
