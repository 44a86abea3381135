// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace triga::fuzz {

// Reads from rings and queues whose shared memory holds `input`: what a process gone mad may have left there.
// The first byte chooses the reader, the rest is laid over the memory. Every reader has to come back with
// messages or with an error, whatever the bytes.
void read_hostile_memory(std::span<const std::byte> input);

// Well-formed inputs, one a reader and size of message: where a mutation starts from.
std::vector<std::vector<std::byte>> seeds();

}  // namespace triga::fuzz
