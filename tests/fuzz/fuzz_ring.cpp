// SPDX-License-Identifier: MIT
// libFuzzer's entry. Without arguments for it, `fuzz_ring --seeds FOLDER` writes the seed corpus.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/fuzz/hostile_memory.h"

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  if (*count != 3 || std::string((*arguments)[1]) != "--seeds") return 0;
  int number = 0;
  for (const auto& seed : triga::fuzz::seeds()) {
    std::ofstream file(std::string((*arguments)[2]) + "/seed-" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  triga::fuzz::read_hostile_memory(std::as_bytes(std::span(data, size)));
  return 0;
}
