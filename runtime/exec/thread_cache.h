// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "runtime/base/clock.h"
#include "runtime/base/result.h"
#include "runtime/exec/at_fork.h"

namespace triga::exec {

// The problem: creating an OS thread (clone, stack mapping, first faults) costs more than most threads' work,
// and a program that starts a thread for each request pays it every time. So a thread whose job is done parks
// and waits for another job; a start hands the job over with one futex wake.
//
// What must not be noticed: a thread starts with its creator's signal mask, name, processors and scheduling
// as a new one would; a thread that waits has every signal blocked, so that no signal is delivered to it; one
// that waited for `idle_time` ends; and a thread is not handed on while somebody may still compare its id
// with another's (see lease).

// What a leased thread does.
class thread_job {
 public:
  thread_job() noexcept = default;
  thread_job(const thread_job&) = delete;
  thread_job& operator=(const thread_job&) = delete;
  thread_job(thread_job&&) = delete;
  thread_job& operator=(thread_job&&) = delete;

  // On the leased thread. Must not throw. May be left by pthread_exit; parked() is not called then.
  virtual void run() = 0;
  // After run(), when the thread is in the cache again (or about to end): whoever is told now that the thread
  // has finished finds it ready for the next job. The job is not touched afterwards and may destroy itself
  // here.
  virtual void parked() noexcept = 0;

 protected:
  ~thread_job() = default;
};

namespace detail {
struct cached_thread;
void drop(cached_thread& thread) noexcept;
}  // namespace detail

class thread_cache final : public fork_aware {
 public:
  struct options {
    nanoseconds idle_time = std::chrono::seconds(10);
    std::size_t max_idle = 64;
  };

  // The right to be the last one that used a thread: while it lives the thread gets no other job, so that its
  // ids stay this user's. Who does not care lets go of it at once; the job runs all the same.
  class [[nodiscard]] lease {
   public:
    lease() noexcept = default;
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;
    lease(lease&& other) noexcept : thread_(std::exchange(other.thread_, nullptr)) {}
    lease& operator=(lease&& other) noexcept {
      if (this != &other) {
        release();
        thread_ = std::exchange(other.thread_, nullptr);
      }
      return *this;
    }
    ~lease() { release(); }

    void release() noexcept;
    [[nodiscard]] explicit operator bool() const noexcept { return thread_ != nullptr; }
    // pthread_self() of the thread.
    [[nodiscard]] pthread_t id() const noexcept;

   private:
    friend class thread_cache;
    explicit lease(detail::cached_thread* thread) noexcept : thread_(thread) {}
    detail::cached_thread* thread_ = nullptr;
  };

  thread_cache() : thread_cache(options{}) {}
  explicit thread_cache(options chosen);
  thread_cache(const thread_cache&) = delete;
  thread_cache& operator=(const thread_cache&) = delete;
  thread_cache(thread_cache&&) = delete;
  thread_cache& operator=(thread_cache&&) = delete;
  // Requires that no job is running; joins the idle threads.
  ~thread_cache() override;

  // The cache that everything in this process shares. Never destroyed.
  static thread_cache& process();

  // Runs `job` on a parked or a new thread with a stack of `stack_size` bytes (0: the system's default).
  // Fails with the errno of pthread_create; the job is not touched then.
  result<lease> start(thread_job& job, std::size_t stack_size = 0);

  // For a job, on its own thread, when others may begin to believe that the thread is done although run() has
  // still to return: end_idle_threads() will wait for it to park.
  static void about_to_park() noexcept;

  // Ends and joins every thread that waits for a job, and those about to. Called before a fork: CPython
  // counts the OS threads then. Threads come back when they are needed.
  void end_idle_threads() noexcept;

  [[nodiscard]] std::size_t idle() const noexcept;

 private:
  // In a forked child only the calling thread exists; if it is a leased one it ends with its job, and from
  // then on no thread stays for another job: it is the child's initial thread, and without it the process
  // ends with its last.
  void lock_for_fork() noexcept override { mutex_.lock(); }
  void unlock_in_parent() noexcept override { mutex_.unlock(); }
  void reset_in_child() noexcept override;

  using thread = detail::cached_thread;

  static void* thread_main(void* argument);
  void serve(thread& self);
  bool park(thread& self, thread_job& finished) noexcept;
  bool wait_for_job(thread& self) noexcept;
  thread* take_idle_locked(std::size_t stack_size, const void* traits) noexcept;
  result<lease> start_new(thread_job& job, std::size_t stack_size, const void* traits);
  void unlink_locked(thread& each) noexcept;

  const options options_;
  mutable std::mutex mutex_;         // guards everything below, and each thread's list links and flags
  std::condition_variable changed_;  // returning_ went to zero
  thread* idle_head_ = nullptr;      // parked threads, the last one first: its caches are warm
  std::size_t idle_count_ = 0;
  std::size_t returning_ = 0;  // threads between about_to_park() and their parking
  bool keeps_none_ = false;    // in a forked child whose one inherited thread has ended
  thread* ended_ = nullptr;    // at most one thread that ended by itself and was not joined yet
};

}  // namespace triga::exec
