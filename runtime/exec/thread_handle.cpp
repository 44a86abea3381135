// SPDX-License-Identifier: MIT
#include "runtime/exec/thread_handle.h"

#include <climits>
#include <new>

namespace triga::exec {

bool thread_handle::claim() noexcept {
  auto expected = static_cast<std::uint32_t>(phase::not_started);
  // relaxed: it decides who starts the thread and carries no data.
  return word_.compare_exchange_strong(expected, static_cast<std::uint32_t>(phase::starting),
                                       std::memory_order_relaxed);
}

void thread_handle::begin(std::uintptr_t ident) noexcept {
  ident_.store(ident, std::memory_order_relaxed);
  auto expected = static_cast<std::uint32_t>(phase::starting);
  // Not if somebody has declared it done meanwhile.
  word_.compare_exchange_strong(expected, static_cast<std::uint32_t>(phase::running),
                                std::memory_order_release, std::memory_order_relaxed);
}

void thread_handle::finish() noexcept {
  // release: pairs with now().
  word_.store(static_cast<std::uint32_t>(phase::done), std::memory_order_release);
  sync::futex_wake(word_, INT_MAX);
}

sync::wait_status thread_handle::wait(time_point deadline) noexcept {
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  if (static_cast<phase>(word) == phase::done) return sync::wait_status::woken;
  return sync::futex_wait(word_, word, deadline);
}

void handle_list::add(entry& added) noexcept {
  const std::lock_guard lock(mutex_);
  added.next = head_;
  added.previous = nullptr;
  if (head_ != nullptr) head_->previous = &added;
  head_ = &added;
}

void handle_list::unlink_locked(entry& each) noexcept {
  if (each.previous == nullptr && head_ != &each) return;
  (each.previous != nullptr ? each.previous->next : head_) = each.next;
  if (each.next != nullptr) each.next->previous = each.previous;
  each.next = each.previous = nullptr;
}

void handle_list::remove(entry& removed) noexcept {
  const std::lock_guard lock(mutex_);
  unlink_locked(removed);
}

std::shared_ptr<thread_handle> handle_list::next_to_join(std::uintptr_t self) const noexcept {
  const std::lock_guard lock(mutex_);
  for (const entry* each = head_; each != nullptr; each = each->next) {
    if (each->joined_at_exit && each->handle->ident() != self && !each->handle->done()) return each->handle;
  }
  return nullptr;
}

void handle_list::reset_in_child() noexcept {
  new (&mutex_) std::mutex;
  const auto self = static_cast<std::uintptr_t>(pthread_self());
  for (entry* each = head_; each != nullptr;) {
    entry* const next = each->next;
    if (each->handle->ident() != self) {
      each->handle->word_.store(static_cast<std::uint32_t>(thread_handle::phase::done),
                                std::memory_order_relaxed);
      unlink_locked(*each);
    }
    each = next;
  }
}

}  // namespace triga::exec
