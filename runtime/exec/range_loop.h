// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace triga::exec {

// The indices [begin, end) of one call of a loop's body.
struct index_range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// Hands out the indices 0 to n - 1, each once, in ranges, to any number of threads that ask. The ranges are
// guided: a share of what is left, so that they are large at first, where they cost little, and small at the
// end, where the threads have to finish together though some indices take longer than others.
class range_loop {
 public:
  // `chunk`: the size of every range but the last; 0: guided.
  range_loop(std::uint64_t n, std::uint64_t chunk) noexcept : n_(n), chunk_(chunk) {}

  // For how many threads the ranges are sized. A hint: others may ask, too.
  void expect_threads(unsigned threads) noexcept {
    threads_.store(std::max(1U, threads), std::memory_order_relaxed);
  }

  // The next range. False: there is none left, or stop() was called.
  bool next(index_range& range) noexcept {
    std::uint64_t begin = next_.load(std::memory_order_relaxed);
    std::uint64_t size = 0;
    do {
      if (begin >= n_ || stopped()) return false;
      size = size_at(begin);
      // relaxed: only who gets which indices is decided here.
    } while (!next_.compare_exchange_weak(begin, begin + size, std::memory_order_relaxed));
    range = {begin, begin + size};
    return true;
  }

  // Nobody gets a range any more. From any thread.
  void stop() noexcept { stopped_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t size() const noexcept { return n_; }

 private:
  // A guided range is 1/4 of a thread's share of the rest; no range is so small that to hand it out costs
  // more than a few per cent of even a trivial body, unless the loop is short.
  static constexpr std::uint64_t parts_a_thread = 4;
  static constexpr std::uint64_t least_parts = 4096;

  [[nodiscard]] std::uint64_t size_at(std::uint64_t begin) const noexcept {
    const std::uint64_t left = n_ - begin;
    if (chunk_ != 0) return std::min(left, chunk_);
    const std::uint64_t guided = left / (parts_a_thread * threads_.load(std::memory_order_relaxed));
    return std::min(left, std::max({guided, n_ / least_parts, std::uint64_t{1}}));
  }

  const std::uint64_t n_;
  const std::uint64_t chunk_;
  std::atomic<unsigned> threads_{1};
  std::atomic<std::uint64_t> next_{0};
  std::atomic<bool> stopped_{false};
};

}  // namespace triga::exec
