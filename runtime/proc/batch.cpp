// SPDX-License-Identifier: MIT
#include "runtime/proc/batch.h"

#include <utility>

namespace triga::proc {

delivery batch::deliver(std::uint64_t index, outcome&& end) {
  const std::lock_guard lock(mutex_);
  if (index >= outcomes_.size()) outcomes_.resize(index + 1);
  if (outcomes_[index]) return {};
  if (!end.succeeded() && !first_failure_) first_failure_ = index;
  outcomes_[index].emplace(std::move(end));
  ++arrived_;
  if (order_ == order::one_by_one) arrivals_.push_back(index);
  const bool complete_now = complete_locked();
  return {.wake = complete_now || order_ == order::one_by_one, .notice = complete_now ? token_ : 0};
}

bool batch::expect(std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  expected_ = count;
  return complete_locked();
}

void batch::notify(std::uint64_t token) {
  const std::lock_guard lock(mutex_);
  token_ = token;
}

bool batch::complete() const {
  const std::lock_guard lock(mutex_);
  return complete_locked();
}

std::uint64_t batch::arrived() const {
  const std::lock_guard lock(mutex_);
  return arrived_;
}

std::uint64_t batch::expected() const {
  const std::lock_guard lock(mutex_);
  return expected_;
}

std::optional<std::uint64_t> batch::first_failure() const {
  const std::lock_guard lock(mutex_);
  return first_failure_;
}

bool batch::settled(std::uint64_t index) const {
  const std::lock_guard lock(mutex_);
  return index >= expected_ || (index < outcomes_.size() && outcomes_[index]);
}

std::optional<outcome> batch::take(std::uint64_t index) {
  const std::lock_guard lock(mutex_);
  if (index >= outcomes_.size()) return std::nullopt;
  std::optional<outcome>& slot = outcomes_[index];
  if (!slot) return std::nullopt;
  // The slot stays filled: an outcome is delivered once and taken once.
  return std::exchange(*slot, outcome{});
}

std::optional<std::uint64_t> batch::arrival(std::uint64_t position) const {
  const std::lock_guard lock(mutex_);
  if (position >= arrivals_.size()) return std::nullopt;
  return arrivals_[position];
}

delivery arrivals::deliver(std::uint64_t index, outcome&& end) {
  const std::lock_guard lock(mutex_);
  arrived_.push_back({index, std::move(end)});
  return {.wake = false, .notice = token_};
}

std::deque<arrivals::arrival> arrivals::take_all() {
  const std::lock_guard lock(mutex_);
  return std::exchange(arrived_, {});
}

}  // namespace triga::proc
