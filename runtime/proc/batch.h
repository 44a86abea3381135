// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/proc/outcome.h"

namespace triga::proc {

// The outcomes of one call to a pool that made any number of tasks: apply has one, map a known number, imap
// one by one. Outcomes stay bytes until they are taken. Lock order: pool, then batch.
class batch : public receiver {
 public:
  static constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();

  enum class order {
    whole,      // only the complete batch matters
    one_by_one  // outcomes are wanted as they come
  };
  // The collecting thread is told `token` when the batch is complete, if it is not 0.
  batch(std::uint64_t expected, order wanted, std::uint64_t token)
      : expected_(expected),
        order_(wanted),
        token_(token),
        prompt_(wanted == order::one_by_one || token != 0) {}

  delivery deliver(std::uint64_t index, outcome&& end) override;
  [[nodiscard]] bool prompt() const noexcept override { return prompt_; }

  // From now on the collecting thread is told this token when the batch becomes complete.
  void notify(std::uint64_t token);
  // How many there will be, once that is known; it may complete the batch (the return value).
  bool expect(std::uint64_t count);

  [[nodiscard]] bool complete() const;
  [[nodiscard]] std::uint64_t arrived() const;
  // True if take(index) would give an outcome, or the batch has no such index.
  [[nodiscard]] bool settled(std::uint64_t index) const;
  // The outcome, once; nullopt if it is not there.
  std::optional<outcome> take(std::uint64_t index);
  // The index of the outcome that arrived `position`-th; nullopt if so many have not arrived.
  [[nodiscard]] std::optional<std::uint64_t> arrival(std::uint64_t position) const;
  [[nodiscard]] std::uint64_t expected() const;
  // The index of the first outcome to arrive that is no success.
  [[nodiscard]] std::optional<std::uint64_t> first_failure() const;

 private:
  [[nodiscard]] bool complete_locked() const noexcept { return arrived_ == expected_; }

  mutable std::mutex mutex_;  // guards all below
  std::deque<std::optional<outcome>> outcomes_;
  std::vector<std::uint64_t> arrivals_;
  std::uint64_t arrived_ = 0;
  std::optional<std::uint64_t> first_failure_;
  std::uint64_t expected_;
  const order order_;
  std::uint64_t token_;
  const bool prompt_;
};

// The outcomes of tasks that have nothing to do with each other, for one thread that attends to them as they
// come.
class arrivals : public receiver {
 public:
  // The collecting thread is told `token` when one has come.
  explicit arrivals(std::uint64_t token) : token_(token) {}

  delivery deliver(std::uint64_t index, outcome&& end) override;
  struct arrival {
    std::uint64_t index;
    outcome end;
  };
  // All that have come, in order of arrival.
  std::deque<arrival> take_all();

 private:
  std::mutex mutex_;  // guards all below
  std::deque<arrival> arrived_;
  const std::uint64_t token_;
};

}  // namespace triga::proc
