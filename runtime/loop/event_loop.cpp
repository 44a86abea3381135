// SPDX-License-Identifier: MIT
#include "runtime/loop/event_loop.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "runtime/base/fork_generation.h"
#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"

namespace triga::loop {
namespace {

// What waits for the end of a turn saves by doing it together, nearly all of it with this many; and it waits
// at most one callback longer than this.
constexpr std::size_t most_at_turn_end = 64;
constexpr nanoseconds longest_to_turn_end = std::chrono::milliseconds(1);

// The client lets others have its lock when the loop looks, so it has to look now and then.
constexpr unsigned most_turns_without_a_look = 16;

}  // namespace

event_loop::event_loop(loop_client& client)
    : client_(client), poller_(io::poller::make()), wakeup_(poller_), fork_generation_(fork_generation()) {}

event_loop::~event_loop() = default;

void event_loop::post_from_any_thread(ready_task& task) {
  {
    const std::lock_guard lock(inbox_mutex_);
    inbox_.push_back(&task);
    has_inbox_.store(true, std::memory_order_relaxed);
  }
  wake();
}

namespace {

struct no_work final : ready_task {
  void run() override {}
};

}  // namespace

void event_loop::forget(ready_task& task) {
  static no_work nothing;
  for (std::size_t at = 0; at < ready_.size(); ++at) {
    if (native_of(ready_[at]) == &task) ready_[at] = tagged(nothing);
  }
  std::replace(turn_end_.begin(), turn_end_.end(), &task, static_cast<ready_task*>(nullptr));
  const std::lock_guard lock(inbox_mutex_);
  std::erase(inbox_, &task);
}

void event_loop::wake() noexcept {
  attention now = attention_.load(std::memory_order_relaxed);
  // Release: what was queued before is seen by the loop that sees the call. Fails if the loop went to sleep
  // just now.
  if (now == attention::looking_out &&
      attention_.compare_exchange_strong(now, attention::called, std::memory_order_release,
                                         std::memory_order_relaxed)) {
    return;
  }
  if (now == attention::sleeping) wakeup_.notify();
}

event_loop::timer_ticket event_loop::add_timer(time_point when, void* timer) {
  trace::count(trace::counter::timers_scheduled);
  return timers_.push(when, timer);
}

bool event_loop::run_once(bool wait) {
  own_after_fork();
  poller_.begin_turn();
  trace::count(trace::counter::loop_iterations);
  last_error_ = 0;
  const bool looks = !has_nothing_to_find() || ++turns_without_a_look_ == most_turns_without_a_look;
  if (looks && !look(wait)) return false;
  const bool good = run_ready();
  if (turn_end_.empty()) return good;
  run_turn_end();
  return good && client_.good();
}

// Is it known that no timer, no descriptor and no other thread's task can be found?
inline bool event_loop::has_nothing_to_find() const noexcept {
  return !ready_.empty() && timers_.empty() && !has_inbox_.load(std::memory_order_relaxed) &&
         !poller_.has_undispatched() && poller_.is_quiet();
}

// Queues what became ready and what came due.
bool event_loop::look(bool wait) {
  turns_without_a_look_ = 0;
  if (!poller_.has_undispatched() && !poll(deadline(wait))) return false;
  if (poller_.has_undispatched()) {
    poller_.dispatch();
    if (!client_.good()) return false;
  }
  take_inbox();
  // deadline() may have asked the client's clock, and it may have failed.
  return timers_.empty() || (client_.good() && queue_due_timers());
}

time_point event_loop::deadline(bool wait) {
  // Asked on busy turns too, as this is what takes cancelled timers out.
  const time_point first = timers_.empty() ? never : timers_.next_deadline();
  return wait && ready_.empty() ? wake_time(first) : time_point::min();
}

// When it will be `due` by the client's clock, supposing that this goes as fast as ours. It is asked again at
// the latest a day later, as in asyncio (MAXIMUM_SELECT_TIMEOUT).
time_point event_loop::wake_time(time_point due) {
  const std::optional<time_point> now = due != never ? client_.replaced_clock() : std::nullopt;
  if (!now) return due;
  if (!client_.good()) return time_point::min();
  const auto count = [](time_point time) { return static_cast<double>(time.time_since_epoch().count()); };
  constexpr double day = 86'400e9;
  const double left = std::clamp(count(due) - count(*now), 0.0, day);
  return monotonic_clock::now() + nanoseconds(static_cast<std::int64_t>(left));
}

bool event_loop::poll(time_point until) {
  if (until == time_point::min() && poller_.is_quiet()) {
    // Nobody has to wake a loop that does not sleep, so the flag in shared memory is all there is to look at.
    client_.before_block(false);
    client_.after_block();
    return true;
  }
  const bool looks = may_look_out(until);
  attention_.store(looks ? attention::looking_out : attention::sleeping, std::memory_order_relaxed);
  {
    // The mutex orders this look against post_from_any_thread(): it either left its task here or will see
    // attention_.
    const std::lock_guard lock(inbox_mutex_);
    if (!inbox_.empty()) until = time_point::min();
  }
  client_.before_block(until != time_point::min());
  const bool good = (looks && until != time_point::min() && look_out()) || wait(until);
  client_.after_block();
  attention_.store(attention::awake, std::memory_order_relaxed);
  if (good) return true;
  if (last_error_ != EINTR) return false;
  last_error_ = 0;
  return client_.on_interrupt();
}

// What has been under way for long may be so for ever, as a read of standard input in a thread; a loop that
// looked out for it would never sleep. And no timer may be late by a spin.
bool event_loop::may_look_out(time_point until) const {
  if (deliveries_ == 0 || until == time_point::min()) return false;
  const time_point now = monotonic_clock::now();
  return now - last_delivery_ < sync::longest_spin &&
         (until == never || until - now > 2 * sync::longest_spin);
}

bool event_loop::wait(time_point until) {
  const result<std::size_t> count = poller_.wait(until);
  if (!count) last_error_ = count.error();
  return static_cast<bool>(count);
}

// Without the client's lock. True: something came, and nobody waits in the kernel. False: the loop counts as
// asleep now.
bool event_loop::look_out() {
  constexpr unsigned looks_a_poll = 8;
  sync::spin turn(sync::waiting_for::delivery);
  for (unsigned looks = 1; turn.again(); ++looks) {
    // Acquire: pairs with wake().
    if (attention_.load(std::memory_order_acquire) == attention::called) return turn.succeeded();
    if (looks % looks_a_poll != 0 || poller_.is_quiet()) continue;
    const result<std::size_t> count = poller_.wait(time_point::min());
    if (count && *count != 0) return turn.succeeded_at_once();
  }
  attention expected = attention::looking_out;
  return !attention_.compare_exchange_strong(expected, attention::sleeping, std::memory_order_acquire);
}

void event_loop::take_inbox() {
  if (!has_inbox_.load(std::memory_order_relaxed)) return;  // one left just now has written the wakeup
  const std::lock_guard lock(inbox_mutex_);
  for (ready_task* each : inbox_) post(*each);
  inbox_.clear();
  has_inbox_.store(false, std::memory_order_relaxed);
}

bool event_loop::queue_due_timers() {
  const std::optional<time_point> replaced = client_.replaced_clock();
  const time_point now = replaced ? *replaced : monotonic_clock::now();
  std::uint64_t fired = 0;
  while (timers_.due(now)) {
    void* timer = timers_.take_first();
    ++fired;
    client_.on_due(timer);
    call_soon(timer);
  }
  if (fired > 0) trace::count(trace::counter::timers_fired, fired);
  return client_.good();  // its clock may have failed
}

inline bool event_loop::run_ready() {
  found_in_turn_ = left_in_turn_ = ready_.size();
  std::uint64_t ran = 0;
  bool good = true;
  // A callback may clear the queue (close() from within is refused, but a client may), so emptiness is asked
  // too.
  while (good && left_in_turn_ > 0 && !ready_.empty()) {
    --left_in_turn_;
    const foreign_callback item = ready_.pop();
    ++ran;
    if (ready_task* const native = native_of(item)) {
      native->run();
      good = client_.good();
    } else {
      good = client_.run_callback(item);
    }
    if (good && !turn_end_.empty() && turn_end_is_urgent()) {
      run_turn_end();
      good = client_.good();
    }
  }
  left_in_turn_ = 0;
  if (ran > 0) trace::count(trace::counter::callbacks_run, ran);
  return good;
}

void event_loop::post_to_turn_end(ready_task& task) {
  if (turn_end_.empty()) turn_end_since_ = monotonic_clock::now();
  turn_end_.push_back(&task);
}

bool event_loop::turn_end_is_urgent() const {
  return turn_end_.size() >= most_at_turn_end ||
         monotonic_clock::now() - turn_end_since_ > longest_to_turn_end;
}

// What is called may post others, or forget some.
void event_loop::run_turn_end() {
  for (std::size_t at = 0; at < turn_end_.size(); ++at) {
    if (ready_task* const each = std::exchange(turn_end_[at], nullptr)) each->end_turn();
  }
  turn_end_.clear();
}

void event_loop::end_run() {
  for (std::size_t at = 0; at < ready_.size(); ++at) {
    if (ready_task* const native = native_of(ready_[at])) native->end_run();
  }
}

void event_loop::own_after_fork() {
  if (fork_generation_ == fork_generation()) return;
  fork_generation_ = fork_generation();
  new (&inbox_mutex_) std::mutex;  // may have been held by a thread that does not exist here
  attention_.store(attention::awake, std::memory_order_relaxed);
  wakeup_.renew();
}

void event_loop::clear_ready() {
  while (!ready_.empty()) {
    const foreign_callback item = ready_.pop();
    if (native_of(item) == nullptr) client_.drop(item);
  }
  const std::lock_guard lock(inbox_mutex_);
  inbox_.clear();
}

void event_loop::clear_timers() {
  timers_.clear([this](void* timer) { client_.drop({.target = timer}); });
}

void event_loop::close() {
  clear();
  wakeup_.close();
  poller_.close();
}

void event_loop::clear() {
  turn_end_.clear();
  clear_ready();
  clear_timers();
}

}  // namespace triga::loop
