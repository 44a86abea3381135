// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/io/poller.h"
#include "runtime/loop/ready_ring.h"
#include "runtime/loop/timer_heap.h"
#include "runtime/loop/wakeup.h"

namespace triga::loop {

// Native work for a loop's ready queue. Must live until it has run or the loop has cleared its queue.
class ready_task {
 public:
  virtual void run() = 0;
  // After post_to_turn_end(). A failure of the turn's may be pending at the client; it has to stay.
  virtual void end_turn() {}
  // While it is queued: the loop stops. It may queue callbacks, and runs none.
  virtual void end_run() {}

 protected:
  ~ready_task() = default;
};

// What somebody else put into the ready queue, which knows nothing of it: a callback that is whole by itself
// (a handle), or a bare one with an argument (or null) and the context to run it in. Its owner is the queue.
struct foreign_callback {
  void* target = nullptr;
  void* argument = nullptr;
  void* context = nullptr;
};

// What an event_loop leaves to the one who drives it: the foreign callbacks and timers (Python handles) that
// it queues without knowing them, and the lock (the GIL) under which all of its state is used.
class loop_client {
 public:
  // Around a wait in the kernel: the lock may be given up between the two. after_block() may not return: a
  // thread that asks for the GIL after finalization began is unwound.
  virtual void before_block(bool waits) = 0;
  virtual void after_block() = 0;
  // A signal interrupted the wait. False ends the turn as failed.
  virtual bool on_interrupt() = 0;
  // Runs a foreign callback, which the queue then owns no more. False ends the turn as failed.
  virtual bool run_callback(const foreign_callback& callback) = 0;
  // False if a native ready_task or a watcher left a failure behind that must end the turn.
  virtual bool good() const = 0;
  // Takes back a foreign callback or timer that will not run.
  virtual void drop(const foreign_callback& callback) = 0;
  // A timer came due and left the heap; it will be run as a callback.
  virtual void on_due(void* timer) = 0;
  // What time it is for the timers, where the client has another clock than the monotonic one.
  virtual std::optional<time_point> replaced_clock() { return std::nullopt; }

 protected:
  ~loop_client() = default;
};

// The turns of an event loop, with asyncio's rules: a turn polls (without waiting if anything is ready),
// queues what became ready and the timers that came due behind what is queued already, and runs the callbacks
// that the queue then holds; those that they queue wait for the next turn.
//
// Locks: everything belongs to the thread that runs the loop, or to whoever holds the client's lock (the
// GIL), except inbox_ (inbox_mutex_), attention_ and wakeup_, which any thread may use.
class event_loop {
 public:
  explicit event_loop(loop_client& client);
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;
  event_loop(event_loop&&) = delete;
  event_loop& operator=(event_loop&&) = delete;
  ~event_loop();

  [[nodiscard]] io::poller& poller() noexcept { return poller_; }

  // Queues a foreign callback (a pointer with its lowest bit clear). Under the client's lock; if that is not
  // the loop's own thread, call wake() afterwards. Returns its place, for replace().
  std::size_t call_soon(void* callback) { return call_soon(foreign_callback{.target = callback}); }
  std::size_t call_soon(const foreign_callback& callback) { return ready_.push(callback); }
  // Puts another form of the callback where it is queued. Requires that it neither was run nor dropped.
  void replace(std::size_t place, const foreign_callback& callback) noexcept {
    ready_.numbered(place) = callback;
  }
  // Queues native work, in one order with the foreign callbacks. Same rules.
  void post(ready_task& task) { ready_.push(tagged(task)); }
  // Has task.end_turn() called once this turn's callbacks have run, before the loop polls again or leaves the
  // turn as failed. Where others are in a hurry it is called sooner: between two callbacks, when many tasks
  // are posted or the first one waited long. Only while a turn runs; loop's thread only.
  void post_to_turn_end(ready_task& task);
  // Does so now.
  void run_turn_end();
  // The loop stops, perhaps for good: calls end_run() of every native task that is queued. They stay queued.
  void end_run();
  // Are several other callbacks still to run in this turn, or does somebody wait for its end already?
  [[nodiscard]] bool is_busy() const noexcept {
    return left_in_turn_ >= left_in_busy_turn || !turn_end_.empty();
  }
  // Is what runs now all that this turn has to do? Then nobody waits for its end.
  [[nodiscard]] bool is_all_of_the_turn() const noexcept { return found_in_turn_ == 1; }
  // Queues native work from any thread, without the client's lock.
  void post_from_any_thread(ready_task& task);
  // Takes native work out of every queue, for an owner that goes before the loop. Looks at all that is
  // queued.
  void forget(ready_task& task);
  // Brings the loop back if it waits. Any thread.
  void wake() noexcept;

  // Another thread has begun, or ended, to do something that it will wake the loop for. Shortly after that,
  // while any is under way, a loop with nothing else to do looks out a moment before it sleeps (spin.h).
  // Under the client's lock.
  void expect_delivery() noexcept {
    ++deliveries_;
    last_delivery_ = monotonic_clock::now();
  }
  void delivery_came() noexcept {
    --deliveries_;
    last_delivery_ = monotonic_clock::now();
  }

  using timer_ticket = timer_heap<void*>::ticket;
  // Under the client's lock. The ticket names the timer until it comes due, is cancelled or dropped.
  timer_ticket add_timer(time_point when, void* timer);
  // Takes a timer out, which the caller then owns.
  void* cancel_timer(timer_ticket timer) noexcept { return timers_.cancel(timer); }

  // One turn. `wait`: whether it may wait for something to happen. False if the client reported a failure, or
  // the wait failed (last_error() then says why); what is left of the turn stays queued.
  bool run_once(bool wait);
  [[nodiscard]] int last_error() const noexcept { return last_error_; }

  // Drops the queue and the timers; native tasks are forgotten.
  void clear();
  // clear(), and closes the loop's descriptors: it cannot run again. May be called twice.
  void close();
  void clear_ready();
  void clear_timers();

  [[nodiscard]] std::size_t ready_count() const noexcept { return ready_.size(); }
  [[nodiscard]] std::size_t timer_count() const noexcept { return timers_.size(); }
  [[nodiscard]] std::size_t cancelled_timer_count() const noexcept { return timers_.dead(); }
  // Foreign callbacks and timers that the loop owns, for a garbage collector: visit(const foreign_callback&)
  // returns non-zero to end.
  template <class Visit>
  int visit(Visit visit_one) const;

 private:
  static constexpr std::uintptr_t native_tag = 1;
  static constexpr std::size_t left_in_busy_turn = 4;

  static foreign_callback tagged(ready_task& task) noexcept {
    return {.target = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(&task) | native_tag)};
  }
  // The native task of an item, or null if it is foreign.
  static ready_task* native_of(const foreign_callback& item) noexcept {
    const auto tagged = reinterpret_cast<std::uintptr_t>(item.target);
    return (tagged & native_tag) != 0 ? reinterpret_cast<ready_task*>(tagged & ~native_tag) : nullptr;
  }
  [[nodiscard]] time_point deadline(bool wait);
  [[nodiscard]] time_point wake_time(time_point due);
  [[nodiscard]] bool has_nothing_to_find() const noexcept;
  bool look(bool wait);
  bool poll(time_point until);
  bool wait(time_point until);
  [[nodiscard]] bool may_look_out(time_point until) const;
  bool look_out();
  void take_inbox();
  bool queue_due_timers();
  bool run_ready();
  [[nodiscard]] bool turn_end_is_urgent() const;
  void own_after_fork();

  loop_client& client_;
  io::poller poller_;
  wakeup wakeup_;
  ready_ring<foreign_callback> ready_;
  timer_heap<void*> timers_;
  std::vector<ready_task*> turn_end_;  // null: forgotten, or called already
  time_point turn_end_since_;          // when the first of them was posted
  std::size_t found_in_turn_ = 0;      // how many callbacks the turn began with
  std::size_t left_in_turn_ = 0;
  int last_error_ = 0;
  unsigned turns_without_a_look_ = 0;
  std::uint32_t fork_generation_;

  enum class attention : std::uint8_t {
    awake,        // nobody has to be told anything
    looking_out,  // about to sleep, but looks at this word first
    sleeping,     // in the kernel, or about to go there
    called,       // was looking out when somebody called wake()
  };
  // Relaxed where not said otherwise: the loop changes it before it looks into the queues under the client's
  // lock and inbox_mutex_, and others look at it after they queued under one of them.
  std::atomic<attention> attention_{attention::awake};
  std::size_t deliveries_ = 0;  // under way
  time_point last_delivery_;    // when one began or came
  std::atomic<bool> has_inbox_{false};
  std::mutex inbox_mutex_;
  std::vector<ready_task*> inbox_;
};

template <class Visit>
int event_loop::visit(Visit visit_one) const {
  for (std::size_t at = 0; at < ready_.size(); ++at) {
    if (native_of(ready_[at]) != nullptr) continue;
    if (const int stop = visit_one(ready_[at]); stop != 0) return stop;
  }
  return timers_.visit([&](void* timer) { return visit_one(foreign_callback{.target = timer}); });
}

}  // namespace triga::loop
