// SPDX-License-Identifier: MIT
#include "bindings/types/stack_chunks.h"

#include <Python.h>

#include <cstddef>

#include "runtime/exec/block_cache.h"

namespace triga {
namespace {

// The size of a chunk of CPython's stack of frames, which it gets from the allocator of arenas. Arenas are
// larger.
constexpr std::size_t chunk_size = 16 * 1024;

// What the process keeps at most: 256 KiB.
exec::block_cache<16> chunks;

// The allocator that stood there before. Every block comes from it, so that blocks which were handed out
// before the change may be kept, and those kept here may be freed by it.
PyObjectArenaAllocator original;

void* allocate(void*, std::size_t size) {
  if (size == chunk_size) {
    if (void* const chunk = chunks.take()) return chunk;
  }
  return original.alloc(original.ctx, size);
}

void release(void*, void* block, std::size_t size) {
  if (size == chunk_size && chunks.keep(block)) return;
  original.free(original.ctx, block, size);
}

}  // namespace

void keep_stack_chunks() noexcept {
  PyObjectArenaAllocator now;
  PyObject_GetArenaAllocator(&now);
  if (now.alloc == allocate) return;
  // A program that put its own in front of ours keeps it.
  if (original.alloc != nullptr) return;
  original = now;
  PyObjectArenaAllocator ours{.ctx = nullptr, .alloc = allocate, .free = release};
  PyObject_SetArenaAllocator(&ours);
}

}  // namespace triga
