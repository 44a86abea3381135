// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "runtime/base/clock.h"

// Memory that a fork copies cheaply. A fork writes an entry of the child's page table for each page of the
// parent, and its end takes each out again; of a huge page (2 MiB) it is one entry. A page of it that the
// child writes to is copied by itself, as ever. Where the kernel gives no huge pages, small ones are had.
namespace triga::proc {

// The size in which CPython's allocator of small objects asks for memory, from 3.10 on.
inline constexpr std::size_t arena_size = std::size_t{1} << 20;

// A piece of arena_size bytes, zeroed: half of a huge page, so two calls share one. Given back by munmap(2).
// Null where there is no memory. May be called by any thread.
void* map_arena() noexcept;

// From now on arenas are of small pages: for a process that was forked, whose life is short as a rule, and
// which would have two megabytes cleared for the first object that finds no place.
void use_small_pages() noexcept;

// Moves the private memory that this process has already into huge pages where it fills them (the heap of
// malloc, which cannot be told to use them from the start). Returns how many were made.
std::size_t collapse_into_huge_pages();

// The same in a program that goes on and whose memory is not to grow by it: only where seven of eight small
// pages are in use. What takes longer than TIME is left as it is. Returns how many were made, or were there.
std::size_t collapse_filled_memory(nanoseconds time);

// Has malloc bring together what was freed to it in small pieces, which a forked child would otherwise do at
// its first larger request, and copy each page that has such a piece.
void consolidate_heap() noexcept;

}  // namespace triga::proc
