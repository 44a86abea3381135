// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace triga {

#if defined(__SSE2__)
namespace streaming {

inline constexpr std::size_t line = 64;

// One line of the cache, written past it. `to` is the line's beginning.
inline void copy_line(std::byte* to, const std::byte* from) noexcept {
  auto* const target = reinterpret_cast<__m128i*>(to);
  const auto* const source = reinterpret_cast<const __m128i*>(from);
  const __m128i first = _mm_loadu_si128(source);
  const __m128i second = _mm_loadu_si128(source + 1);
  const __m128i third = _mm_loadu_si128(source + 2);
  const __m128i fourth = _mm_loadu_si128(source + 3);
  _mm_stream_si128(target, first);
  _mm_stream_si128(target + 1, second);
  _mm_stream_si128(target + 2, third);
  _mm_stream_si128(target + 3, fourth);
}

}  // namespace streaming
#endif

// memcpy(3) for what is going to be read by another process, or later. What does not stay in the cache anyway
// is written past it, so that no line of the target is read first: that is a third of the traffic. The C
// library does so only from a size on that it takes from the caches it believes the machine to have.
inline void streaming_copy(std::byte* to, const std::byte* from, std::size_t size) noexcept {
#if defined(__SSE2__)
  constexpr std::size_t stream_from = std::size_t{8} << 20;
  if (size >= stream_from) {
    const std::size_t lead =
        (streaming::line - reinterpret_cast<std::uintptr_t>(to) % streaming::line) % streaming::line;
    std::memcpy(to, from, lead);
    const std::size_t whole = (size - lead) / streaming::line * streaming::line;
    for (std::size_t at = lead; at < lead + whole; at += streaming::line)
      streaming::copy_line(to + at, from + at);
    _mm_sfence();  // such writes are in no order with the ones that tell of them
    std::memcpy(to + lead + whole, from + lead + whole, size - lead - whole);
    return;
  }
#endif
  if (size != 0) std::memcpy(to, from, size);
}

}  // namespace triga
