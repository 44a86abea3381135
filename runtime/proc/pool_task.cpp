// SPDX-License-Identifier: MIT
#include "runtime/proc/pool_task.h"

#include <utility>

namespace triga::proc {

void pool_task::keep(const content& what) {
  body.clear();
  body.reserve(what.body_size());
  for (const byte_span& piece : what.body) body.insert(body.end(), piece.begin(), piece.end());
  buffers.clear();
  for (const byte_span& buffer : what.buffers) buffers.emplace_back(buffer.begin(), buffer.end());
  whole = true;
}

task_list::task_list(task_list&& other) noexcept
    : first_(std::exchange(other.first_, nullptr)),
      last_(std::exchange(other.last_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

void task_list::push_back(task_pointer task) noexcept {
  pool_task* const added = task.release();
  added->previous_ = last_;
  added->next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = added;
  last_ = added;
  ++size_;
}

void task_list::push_front(task_pointer task) noexcept {
  pool_task* const added = task.release();
  added->previous_ = nullptr;
  added->next_ = first_;
  (first_ != nullptr ? first_->previous_ : last_) = added;
  first_ = added;
  ++size_;
}

task_pointer task_list::remove(pool_task& task) noexcept {
  (task.previous_ != nullptr ? task.previous_->next_ : first_) = task.next_;
  (task.next_ != nullptr ? task.next_->previous_ : last_) = task.previous_;
  task.previous_ = task.next_ = nullptr;
  --size_;
  return task_pointer(&task);
}

void task_list::clear() noexcept {
  while (pop_front()) {
  }
}

void task_window::put(std::uint64_t index, pool_task* task) {
  if (slots_.empty()) first_ = index;
  for (; first_ > index; --first_) slots_.push_front(nullptr);
  if (index - first_ >= slots_.size()) slots_.resize(index - first_ + 1);
  slots_[index - first_] = task;
}

pool_task* task_window::find(std::uint64_t index) const noexcept {
  return index >= first_ && index - first_ < slots_.size() ? slots_[index - first_] : nullptr;
}

void task_window::erase(std::uint64_t index) noexcept {
  if (find(index) == nullptr) return;
  slots_[index - first_] = nullptr;
  for (; !slots_.empty() && slots_.front() == nullptr; ++first_) slots_.pop_front();
}

}  // namespace triga::proc
