// SPDX-License-Identifier: MIT
#include "runtime/codec/compression.h"

namespace triga::codec {

std::unique_ptr<compression> find_compression(const std::string& name) {
  if (name == "zlib") return find_zlib();
  if (name == "zstd") return find_zstd();
  throw std::invalid_argument("unknown compression '" + name + "'; known are 'zlib' and 'zstd'");
}

}  // namespace triga::codec
