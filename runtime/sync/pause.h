// SPDX-License-Identifier: MIT
#pragma once

namespace triga::sync {

// Tells the CPU that this is a spinning loop, for the sake of its sibling and of its power.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace triga::sync
