// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/exec/at_fork.h"
#include "runtime/exec/thread_cache.h"
#include "runtime/sync/futex.h"

namespace triga::exec {

// What is known of a thread by those who did not start it: whether it runs, who it is, and a place to wait
// for its end. Shared by the thread and by whoever may join it. While a handle lives its thread is not handed
// on (see lease).
class thread_handle {
 public:
  enum class phase : std::uint32_t { not_started, starting, running, done };

  thread_handle() noexcept = default;
  thread_handle(const thread_handle&) = delete;
  thread_handle& operator=(const thread_handle&) = delete;
  thread_handle(thread_handle&&) = delete;
  thread_handle& operator=(thread_handle&&) = delete;
  ~thread_handle() = default;

  // acquire: what the thread did before its end is visible to whoever sees `done`.
  [[nodiscard]] phase now() const noexcept {
    return static_cast<phase>(word_.load(std::memory_order_acquire));
  }
  [[nodiscard]] bool done() const noexcept { return now() == phase::done; }
  // pthread_self() of the thread; 0 before it has started.
  [[nodiscard]] std::uintptr_t ident() const noexcept { return ident_.load(std::memory_order_relaxed); }

  // not_started -> starting: one caller only may go on to start the thread.
  bool claim() noexcept;
  // Called by the thread before its job, so that ident() is right for everything the job starts.
  void begin(std::uintptr_t ident) noexcept;
  // The thread's life is over, or its start failed.
  void finish() noexcept;

  // Waits for done, once: until `deadline`, a signal handler, or a spurious wake.
  sync::wait_status wait(time_point deadline) noexcept;

  // Keeps the lease of the thread for as long as the handle lives.
  void keep(thread_cache::lease lease) noexcept { lease_ = std::move(lease); }

 private:
  friend class handle_list;

  sync::futex_word word_{static_cast<std::uint32_t>(phase::not_started)};
  std::atomic<std::uintptr_t> ident_{0};
  thread_cache::lease lease_;
};

// The threads of one interpreter that are alive: those that have to be joined when it ends, and all that a
// forked child has to declare dead.
class handle_list final : public fork_aware {
 public:
  struct entry {
    std::shared_ptr<thread_handle> handle;
    bool joined_at_exit = false;
    entry* next = nullptr;
    entry* previous = nullptr;
  };

  handle_list() = default;
  handle_list(const handle_list&) = delete;
  handle_list& operator=(const handle_list&) = delete;
  handle_list(handle_list&&) = delete;
  handle_list& operator=(handle_list&&) = delete;
  ~handle_list() override = default;

  void add(entry& added) noexcept;
  // May be called for an entry that is not in the list (any more).
  void remove(entry& removed) noexcept;

  // A thread to be joined at exit other than the one that is `self`, or nullptr.
  [[nodiscard]] std::shared_ptr<thread_handle> next_to_join(std::uintptr_t self) const noexcept;

 private:
  void lock_for_fork() noexcept override { mutex_.lock(); }
  void unlock_in_parent() noexcept override { mutex_.unlock(); }
  void reset_in_child() noexcept override;
  void unlink_locked(entry& each) noexcept;

  mutable std::mutex mutex_;  // guards the list
  entry* head_ = nullptr;
};

}  // namespace triga::exec
