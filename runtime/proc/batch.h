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
  // `notify`: the collecting thread is told the token when the batch is complete.
  batch(std::uint64_t expected, order wanted, bool notify)
      : expected_(expected), order_(wanted), notify_(notify) {}

  delivery deliver(std::uint64_t index, outcome&& end) override;
  [[nodiscard]] bool prompt() const noexcept override { return order_ == order::one_by_one || notify_; }

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
  const bool notify_;
};

// The outcomes of tasks that have nothing to do with each other, for one thread that attends to them as they
// come.
class arrivals : public receiver {
 public:
  delivery deliver(std::uint64_t index, outcome&& end) override;
  struct arrival {
    std::uint64_t index;
    outcome end;
  };
  // The next in order of arrival; nullopt if none has come.
  std::optional<arrival> take();

 private:
  std::mutex mutex_;  // guards all below
  std::deque<arrival> arrived_;
};

}  // namespace triga::proc
