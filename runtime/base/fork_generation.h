// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace triga {

// How often this process's line of ancestors has forked since the library was loaded. A resource that a child
// must not share with its parent (an epoll, an eventfd) remembers the number it was made under and makes
// itself anew when the number has changed. Safe to call from any thread.
std::uint32_t fork_generation() noexcept;

}  // namespace triga
