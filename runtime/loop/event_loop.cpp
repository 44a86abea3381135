// SPDX-License-Identifier: MIT
#include "runtime/loop/event_loop.h"

#include <cerrno>
#include <new>
#include <utility>

#include "runtime/base/fork_generation.h"
#include "runtime/trace/counters.h"

namespace triga::loop {

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

void event_loop::wake() noexcept {
  if (sleeping_.load(std::memory_order_relaxed)) wakeup_.notify();
}

void event_loop::add_timer(time_point when, void* timer) {
  timers_.push(when, timer);
  trace::count(trace::counter::timers_scheduled);
}

bool event_loop::run_once(bool wait) {
  own_after_fork();
  trace::count(trace::counter::loop_iterations);
  last_error_ = 0;
  if (!poller_.has_undispatched() && !poll(deadline(wait))) return false;
  poller_.dispatch();
  take_inbox();
  if (!client_.good()) return false;
  queue_due_timers();
  return run_ready() && run_turn_end();
}

time_point event_loop::deadline(bool wait) {
  // Asked on busy turns too, as this is what takes cancelled timers out.
  const time_point first = timers_.next_deadline([this](void* timer) { return client_.is_cancelled(timer); },
                                                 [this](void* timer) { client_.drop(timer); });
  return wait && ready_.empty() ? first : time_point::min();
}

bool event_loop::poll(time_point until) {
  if (until == time_point::min() && poller_.is_quiet()) {
    // Nobody has to wake a loop that does not sleep, so the flag in shared memory is all there is to look at.
    client_.before_block(false);
    client_.after_block();
    return true;
  }
  sleeping_.store(true, std::memory_order_relaxed);
  {
    // The mutex orders this look against post_from_any_thread(): it either left its task here or will see
    // sleeping_.
    const std::lock_guard lock(inbox_mutex_);
    if (!inbox_.empty()) until = time_point::min();
  }
  client_.before_block(until != time_point::min());
  const result<std::size_t> count = poller_.wait(until);
  client_.after_block();
  sleeping_.store(false, std::memory_order_relaxed);
  if (count) return true;
  if (count.error() == EINTR) return client_.on_interrupt();
  last_error_ = count.error();
  return false;
}

void event_loop::take_inbox() {
  if (!has_inbox_.load(std::memory_order_relaxed)) return;  // one left just now has written the wakeup
  const std::lock_guard lock(inbox_mutex_);
  for (ready_task* each : inbox_) post(*each);
  inbox_.clear();
  has_inbox_.store(false, std::memory_order_relaxed);
}

void event_loop::queue_due_timers() {
  if (timers_.empty()) return;
  const time_point now = monotonic_clock::now();
  std::uint64_t fired = 0;
  while (timers_.due(now)) {
    void* timer = timers_.take_first();
    if (client_.is_cancelled(timer)) {
      timers_.took_dead();
      client_.drop(timer);
    } else {
      ++fired;
      client_.on_due(timer);
      call_soon(timer);
    }
  }
  if (fired > 0) trace::count(trace::counter::timers_fired, fired);
}

bool event_loop::run_ready() {
  std::size_t left = ready_.size();
  std::uint64_t ran = 0;
  bool good = true;
  // A callback may clear the queue (close() from within is refused, but a client may), so emptiness is asked
  // too.
  while (good && left-- > 0 && !ready_.empty()) {
    const std::uintptr_t item = ready_.pop();
    ++ran;
    if ((item & native_tag) == 0) {
      good = client_.run_callback(reinterpret_cast<void*>(item));
    } else {
      reinterpret_cast<ready_task*>(item & ~native_tag)->run();
      good = client_.good();
    }
  }
  if (ran > 0) trace::count(trace::counter::callbacks_run, ran);
  return good;
}

bool event_loop::run_turn_end() {
  if (turn_end_.empty()) return true;
  const std::vector<ready_task*> tasks = std::exchange(turn_end_, {});
  for (ready_task* each : tasks) each->run();
  return client_.good();
}

void event_loop::own_after_fork() {
  if (fork_generation_ == fork_generation()) return;
  fork_generation_ = fork_generation();
  new (&inbox_mutex_) std::mutex;  // may have been held by a thread that does not exist here
  sleeping_.store(false, std::memory_order_relaxed);
  wakeup_.renew();
}

void event_loop::clear_ready() {
  while (!ready_.empty()) {
    const std::uintptr_t item = ready_.pop();
    if ((item & native_tag) == 0) client_.drop(reinterpret_cast<void*>(item));
  }
  turn_end_.clear();
  const std::lock_guard lock(inbox_mutex_);
  inbox_.clear();
}

void event_loop::clear_timers() {
  timers_.clear([this](void* timer) { client_.drop(timer); });
}

void event_loop::close() {
  clear();
  wakeup_.close();
  poller_.close();
}

void event_loop::clear() {
  clear_ready();
  clear_timers();
}

}  // namespace triga::loop
