// SPDX-License-Identifier: MIT
// process_pool: leading, following, collecting.
#include <algorithm>
#include <utility>

#include "runtime/base/scope_exit.h"
#include "runtime/proc/parked.h"
#include "runtime/proc/process_pool.h"
#include "runtime/trace/counters.h"

namespace triga::proc {

bool process_pool::any_readable() noexcept {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& each) { return !each->corrupt && each->results().readable(); });
}

void process_pool::park(std::uint32_t who) noexcept {
  const auto bunch = static_cast<std::uint32_t>(prompt_outstanding_ != 0 ? 1 : options_.depth / 2);
  for (const auto& each : workers_) each->results().park(parked::word(who, bunch));
}

void process_pool::unpark() noexcept {
  for (const auto& each : workers_) each->results().park(0);
}

bool process_pool::claim_repairs(bool may_repair) {
  if (!may_repair || departed_.empty() || repairing_) return false;
  repairing_ = true;
  return true;
}

process_pool::ended process_pool::wait(const condition& ready, time_point deadline, bool may_repair) {
  lock_type lock(mutex_);
  for (;;) {
    drain(lock);
    if (ready()) return ended::ready;
    if (claim_repairs(may_repair)) return ended::repairs;
    if (deadline != never && monotonic_clock::now() >= deadline) return ended::timed_out;
    const ended how = leading_ ? follow(lock, ready, deadline) : lead(lock, ready, deadline, may_repair);
    if (how == ended::interrupted || how == ended::repairs) return how;
  }
}

process_pool::ended process_pool::follow(lock_type& lock, const condition& ready, time_point deadline) {
  follower mine{.ready = &ready};
  followers_.push_back(&mine);
  lock.unlock();
  auto status = sync::wait_status::woken;
  if (mine.word.load(std::memory_order_acquire) == 0) status = sync::futex_wait(mine.word, 0, deadline);
  lock.lock();
  std::erase(followers_, &mine);
  return status == sync::wait_status::interrupted ? ended::interrupted : ended::ready;
}

// Looks for results without sleeping; true if there are some. The lock is held for each look, as workers may
// come and go, and free between.
bool process_pool::spin(lock_type& lock) {
  if (options_.look_out) {
    lock.unlock();
    const bool found = options_.look_out([&] {
      const std::lock_guard look(mutex_);
      return any_readable();
    });
    lock.lock();
    return found;
  }
  sync::spin look_out(sync::waiting_for::answer);
  for (;;) {
    lock.unlock();
    const bool again = look_out.again();
    lock.lock();
    if (!again) return false;
    if (any_readable()) return look_out.succeeded_at_once();
  }
}

process_pool::ended process_pool::lead(lock_type& lock, const condition& ready, time_point deadline,
                                       bool may_repair) {
  leading_ = true;
  unpark();  // awake: nobody has to ring
  auto how = ended::ready;
  for (;;) {
    drain(lock);
    if (ready()) break;
    if (claim_repairs(may_repair)) {
      how = ended::repairs;
      break;
    }
    const time_point start = monotonic_clock::now();
    if (deadline != never && start >= deadline) {
      how = ended::timed_out;
      break;
    }
    const bool may_spin = options_.spin && (deadline == never || deadline - start > sync::longest_spin);
    if (may_spin && spin(lock)) continue;
    park(parked::leader);
    if (any_readable() || ready()) {
      unpark();
      continue;
    }
    sleeping_leader_ = &ready;
    const time_point wake_at = std::min(deadline, next_expiry(monotonic_clock::now()));
    lock.unlock();
    const supervisor::report seen = leader_place_.wait(wake_at);
    lock.lock();
    sleeping_leader_ = nullptr;
    unpark();
    bury(seen.ended);
    if (seen.interrupted) {
      drain(lock);
      if (!ready()) how = ended::interrupted;
      break;
    }
  }
  leading_ = false;
  hand_over(lock);
  return how;
}

// The leader leaves: a follower leads now, or the workers ring for the collecting thread.
void process_pool::hand_over(lock_type& lock) {
  for (follower* each : followers_) {
    if (each->word.load(std::memory_order_relaxed) != 0) continue;
    each->word.store(1, std::memory_order_release);
    sync::futex_wake(each->word, 1);
    return;
  }
  do {
    park(parked::collector);
    // A worker that rang for the leader just now has sent before it rang.
    if (any_readable()) drain(lock);
  } while (!leading_ && any_readable());
}

process_pool::ended process_pool::serve() {
  lock_type lock(mutex_);
  serving_ = true;
  const scope_exit leave([&]() noexcept { serving_ = false; });  // runs before the lock is released
  for (;;) {
    if (stop_serving_) return ended::stopped;
    if (!leading_) drain(lock);
    if (claim_repairs(true)) return ended::repairs;
    if (!notices_.empty()) return ended::notices;
    if (!leading_) {
      if (options_.spin && outstanding_ != 0 && spin(lock)) continue;
      // While the lock was free. A leader that sleeps by now must not lose its place as the one to be rung
      // for.
      if (leading_ || stop_serving_ || !notices_.empty()) continue;
      park(parked::collector);
      if (any_readable()) continue;
    }
    const time_point wake_at = next_expiry(monotonic_clock::now());
    collector_asleep_ = true;
    lock.unlock();
    const supervisor::report seen = collector_place_.wait(wake_at);
    lock.lock();
    collector_asleep_ = false;
    bury(seen.ended);
  }
}

// Once for all that there is to tell it; an awake one looks before it sleeps.
void process_pool::wake_collector() noexcept {
  if (std::exchange(collector_asleep_, false)) collector_place_.bell().ring();
}

void process_pool::stop_serving() {
  const std::lock_guard lock(mutex_);
  stop_serving_ = true;
  collector_place_.bell().ring();
}

void process_pool::allow_serving() {
  const std::lock_guard lock(mutex_);
  stop_serving_ = false;
}

bool process_pool::wants_collector() {
  const std::lock_guard lock(mutex_);
  return outstanding_ != 0 && !leading_ && !serving_ && !stop_serving_;
}

std::vector<departure> process_pool::take_departed() {
  const std::lock_guard lock(mutex_);
  repairing_ = false;
  return std::exchange(departed_, {});
}

std::vector<std::uint64_t> process_pool::take_notices() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notices_, {});
}

}  // namespace triga::proc
