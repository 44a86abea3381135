// SPDX-License-Identifier: MIT
#include "runtime/exec/thread_cache.h"

#include <sched.h>
#include <signal.h>

#include <atomic>
#include <climits>
#include <new>

#include "runtime/base/scope_exit.h"
#include "runtime/exec/thread_traits.h"
#include "runtime/sync/futex.h"
#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"

namespace triga::exec {
namespace detail {

// What one OS thread and the lease on it share. Two owners: the OS thread (until it is joined or detached)
// and the lease; the last one frees it.
struct cached_thread {
  enum order : std::uint32_t { none, asleep, run_job, end };

  explicit cached_thread(thread_cache& its_cache) noexcept : cache(its_cache) {}

  thread_cache& cache;
  std::atomic<int> owners{2};
  pthread_t id{};
  pid_t kernel_id = 0;  // set by the thread before its first job
  std::size_t stack_size = 0;

  // Set by the starter before `orders` is released to run_job.
  thread_job* job = nullptr;
  sigset_t signals{};
  thread_traits traits;  // of the creator at a start; of the thread while it is parked

  sync::futex_word orders{none};

  // Guarded by the cache's mutex.
  bool parked = false;
  bool held = true;        // the lease lives
  bool returning = false;  // between about_to_park() and parking
  bool orphaned = false;   // fork(2) was called on this thread: in the child it ends with its job
  cached_thread* next = nullptr;
  cached_thread* previous = nullptr;
};

void drop(cached_thread& thread) noexcept {
  // acq_rel: the one that frees must see everything that the other owner wrote.
  if (thread.owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete &thread;
}

namespace {

thread_local cached_thread* current_thread = nullptr;

void block_all_signals() noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

// pthread_join() returns when the kernel has cleared the thread's id, a moment before the thread leaves the
// list that /proc shows (and CPython counts). tgkill(2) with signal 0 tells when it is gone.
void join_until_gone(cached_thread& thread) noexcept {
  pthread_join(thread.id, nullptr);
  while (syscall(SYS_tgkill, getpid(), thread.kernel_id, 0) == 0) sched_yield();
  drop(thread);
}

}  // namespace
}  // namespace detail

using detail::cached_thread;

thread_cache::thread_cache(options chosen) : options_(chosen) {}

thread_cache::~thread_cache() { end_idle_threads(); }

thread_cache& thread_cache::process() {
  // Never destroyed: leased threads may outlive static destructors.
  alignas(thread_cache) static std::byte storage[sizeof(thread_cache)];
  static auto* const cache = new (storage) thread_cache;
  return *cache;
}

void thread_cache::lease::release() noexcept {
  cached_thread* const thread = std::exchange(thread_, nullptr);
  if (thread == nullptr) return;
  {
    const std::lock_guard lock(thread->cache.mutex_);
    thread->held = false;
  }
  detail::drop(*thread);
}

pthread_t thread_cache::lease::id() const noexcept { return thread_->id; }

result<thread_cache::lease> thread_cache::start(thread_job& job, std::size_t stack_size) {
  const detail::thread_traits traits = detail::thread_traits::of_this_thread();
  cached_thread* reused = nullptr;
  {
    const std::lock_guard lock(mutex_);
    reused = take_idle_locked(stack_size, &traits);
  }
  if (reused == nullptr) return start_new(job, stack_size, &traits);
  reused->owners.fetch_add(1,
                           std::memory_order_relaxed);  // relaxed: the thread's own reference keeps it alive
  reused->job = &job;
  reused->traits = traits;
  pthread_sigmask(SIG_SETMASK, nullptr, &reused->signals);
  // release: the thread reads the job, the signal mask and the traits after it has seen the order.
  if (reused->orders.exchange(cached_thread::run_job, std::memory_order_release) == cached_thread::asleep)
    sync::futex_wake(reused->orders, 1);
  trace::count(trace::counter::threads_reused);
  return lease(reused);
}

thread_cache::thread* thread_cache::take_idle_locked(std::size_t stack_size, const void* traits) noexcept {
  const auto& wanted = *static_cast<const detail::thread_traits*>(traits);
  for (thread* each = idle_head_; each != nullptr; each = each->next) {
    if (each->held || each->stack_size != stack_size || !each->traits.same_scheduling(wanted)) continue;
    unlink_locked(*each);
    each->held = true;
    return each;
  }
  return nullptr;
}

result<thread_cache::lease> thread_cache::start_new(thread_job& job, std::size_t stack_size,
                                                    const void* traits) {
  auto* made = new (std::nothrow) thread(*this);
  if (made == nullptr) return result<lease>::failure(ENOMEM);
  made->stack_size = stack_size;
  made->job = &job;
  made->traits = *static_cast<const detail::thread_traits*>(traits);
  made->orders.store(cached_thread::run_job, std::memory_order_relaxed);  // relaxed: pthread_create orders it
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  const scope_exit destroy([&] { pthread_attr_destroy(&attributes); });
  int error = stack_size != 0 ? pthread_attr_setstacksize(&attributes, stack_size) : 0;
  // The new thread inherits the signal mask, the name and the rest from this one.
  if (error == 0) error = pthread_create(&made->id, &attributes, &thread_cache::thread_main, made);
  if (error != 0) {
    delete made;
    return result<lease>::failure(error);
  }
  trace::count(trace::counter::threads_started);
  return lease(made);
}

void* thread_cache::thread_main(void* argument) {
  auto& self = *static_cast<thread*>(argument);
  // pthread_create() may return in the creator after the thread began to run.
  self.id = pthread_self();
  self.kernel_id = static_cast<pid_t>(syscall(SYS_gettid));
  detail::current_thread = &self;
  // Reached without dismissal only when the job is left by pthread_exit, which CPython calls on a thread that
  // asks for the GIL during finalization: nobody will join this thread.
  scope_exit unwound([&self]() noexcept {
    pthread_detach(self.id);
    const std::lock_guard lock(self.cache.mutex_);
    if (self.returning && --self.cache.returning_ == 0) self.cache.changed_.notify_all();
    detail::drop(self);
  });
  self.cache.serve(self);
  unwound.dismiss();
  return nullptr;
}

void thread_cache::serve(thread& self) {
  for (bool go_on = true; go_on;) {
    thread_job& job = *self.job;
    self.orders.store(cached_thread::none,
                      std::memory_order_relaxed);  // relaxed: only others' writes are waited for
    job.run();
    detail::block_all_signals();
    go_on = park(self, job) && wait_for_job(self);
  }
}

// Puts the thread where start() finds it, then tells the job. False: the thread ends instead.
bool thread_cache::park(thread& self, thread_job& finished) noexcept {
  const detail::thread_traits traits = detail::thread_traits::without_name();
  thread* joined = nullptr;
  bool stays = false;
  {
    const std::lock_guard lock(mutex_);
    if (self.returning && --returning_ == 0) changed_.notify_all();
    self.returning = false;
    self.traits = traits;
    keeps_none_ |= self.orphaned;
    stays = !keeps_none_ && idle_count_ < options_.max_idle;
    if (stays) {
      self.parked = true;
      self.next = idle_head_;
      self.previous = nullptr;
      if (idle_head_ != nullptr) idle_head_->previous = &self;
      idle_head_ = &self;
      ++idle_count_;
    } else if (!self.orphaned) {
      joined = std::exchange(ended_, &self);
    }
  }
  finished.parked();
  if (joined != nullptr) detail::join_until_gone(*joined);
  // The process is to end with the last thread that works, and must not wait for those that have nothing to
  // do.
  if (self.orphaned) end_idle_threads();
  return stays;
}

// True: there is a job. False: the thread is to end.
bool thread_cache::wait_for_job(thread& self) noexcept {
  const auto ordered = [&self] {
    // acquire: pairs with the release in start().
    return self.orders.load(std::memory_order_acquire) >= cached_thread::run_job;
  };
  {
    sync::spin turn(sync::waiting_for::job);
    while (turn.again()) {
      if (ordered() && turn.succeeded()) break;
    }
  }
  std::uint32_t expected = cached_thread::none;
  // relaxed: announces the sleep and carries no data. Fails where there is an order already.
  self.orders.compare_exchange_strong(expected, cached_thread::asleep, std::memory_order_relaxed);
  time_point deadline = deadline_after(options_.idle_time);
  for (;;) {
    if (ordered()) {
      if (self.orders.load(std::memory_order_relaxed) == cached_thread::end) return false;
      break;
    }
    if (sync::futex_wait(self.orders, cached_thread::asleep, deadline) != sync::wait_status::timed_out)
      continue;
    thread* joined = nullptr;
    {
      const std::lock_guard lock(mutex_);
      deadline = never;  // somebody who took it from the list is about to give it an order
      if (!self.parked) continue;
      unlink_locked(self);
      joined = std::exchange(ended_, &self);
    }
    if (joined != nullptr) detail::join_until_gone(*joined);
    return false;
  }
  self.traits.take_name();
  pthread_sigmask(SIG_SETMASK, &self.signals, nullptr);
  return true;
}

void thread_cache::unlink_locked(thread& each) noexcept {
  (each.previous != nullptr ? each.previous->next : idle_head_) = each.next;
  if (each.next != nullptr) each.next->previous = each.previous;
  each.next = each.previous = nullptr;
  each.parked = false;
  --idle_count_;
}

void thread_cache::about_to_park() noexcept {
  cached_thread* const self = detail::current_thread;
  if (self == nullptr) return;
  const std::lock_guard lock(self->cache.mutex_);
  if (self->orphaned || self->returning) return;
  self->returning = true;
  ++self->cache.returning_;
}

void thread_cache::end_idle_threads() noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return returning_ == 0; });
  thread* ending = nullptr;
  while (thread* const each = idle_head_) {
    unlink_locked(*each);
    each->next = std::exchange(ending, each);
  }
  thread* const ended = std::exchange(ended_, nullptr);
  lock.unlock();
  for (thread* each = ending; each != nullptr; each = each->next) {
    each->orders.store(cached_thread::end, std::memory_order_relaxed);  // relaxed: carries no data
    sync::futex_wake(each->orders, 1);
  }
  while (ending != nullptr) detail::join_until_gone(*std::exchange(ending, ending->next));
  if (ended != nullptr) detail::join_until_gone(*ended);
}

std::size_t thread_cache::idle() const noexcept {
  const std::lock_guard lock(mutex_);
  return idle_count_;
}

void thread_cache::reset_in_child() noexcept {
  // lock_for_fork() held the mutex, so the lists are whole; their threads do not exist here.
  new (&mutex_) std::mutex;
  new (&changed_) std::condition_variable;
  while (thread* const each = idle_head_) {
    unlink_locked(*each);
    detail::drop(*each);
  }
  if (ended_ != nullptr) detail::drop(*std::exchange(ended_, nullptr));
  returning_ = 0;
  if (detail::current_thread != nullptr) {
    detail::current_thread->orphaned = true;
    detail::current_thread->returning = false;
  }
}

}  // namespace triga::exec
