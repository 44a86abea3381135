// SPDX-License-Identifier: MIT
// How far hashing scales on this machine: OpenSSL's SHA-256 of a MiB in memory, by processes that share
// nothing.
//
//   sha256 PROCESSES COUNT     COUNT times in each process
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "common.h"

namespace {

using sha256_function = unsigned char* (*)(const unsigned char*, std::size_t, unsigned char*);

// Loaded at run time, since the headers need not be installed.
sha256_function openssl_sha256() {
  void* library = dlopen("libcrypto.so.3", RTLD_NOW);
  void* found = library != nullptr ? dlsym(library, "SHA256") : nullptr;
  if (found == nullptr) {
    std::fputs("sha256: there is no libcrypto.so.3 (OpenSSL 3) on this machine\n", stderr);
    std::exit(1);
  }
  return reinterpret_cast<sha256_function>(found);
}

void hash(sha256_function sha256, int count) {
  const std::vector<unsigned char> block(1 << 20, 0x5a);
  unsigned char digest[32];
  for (int i = 0; i < count; ++i) sha256(block.data(), block.size(), digest);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: sha256 PROCESSES COUNT\n", stderr), 2;
  const int processes = std::atoi(argv[1]), count = std::atoi(argv[2]);
  const sha256_function sha256 = openssl_sha256();
  const std::int64_t begin = nanoseconds(CLOCK_MONOTONIC);
  for (int i = 0; i < processes; ++i) {
    if (check(fork(), "fork") != 0) continue;
    hash(sha256, count);
    _exit(0);
  }
  for (int i = 0; i < processes; ++i) check(wait(nullptr), "wait");
  print_result(std::int64_t{processes} * count, nanoseconds(CLOCK_MONOTONIC) - begin, children_cpu());
}
