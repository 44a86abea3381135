// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

namespace triga {

// How often this process's line of ancestors has forked since the library was loaded. A resource that a child
// must not share with its parent (an epoll, an eventfd) remembers the number it was made under and makes
// itself anew when the number has changed. Safe to call from any thread.
inline std::uint32_t fork_generation() noexcept;

namespace detail {

// Relaxed throughout: it changes only in a forked child, while that has one thread.
extern std::atomic<std::uint32_t> fork_count;

}  // namespace detail

// One load: event loops ask at every call.
inline std::uint32_t fork_generation() noexcept { return detail::fork_count.load(std::memory_order_relaxed); }

}  // namespace triga
