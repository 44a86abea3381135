// SPDX-License-Identifier: MIT
#include "runtime/exec/task_queue.h"

namespace triga::exec {

void task_queue::push_with_extras(task& node) {
  task_extras& extras = *node.extras();
  task_list* rank = &plain_;
  if (extras.priority != 0) rank = &ranked_[extras.priority];
  if (extras.deadline != never) {
    try {
      extras.due_at = due_.emplace(extras.deadline, &node);
    } catch (...) {
      if (rank != &plain_ && rank->empty()) ranked_.erase(extras.priority);
      throw;
    }
  }
  rank->push(node);
  if (rank != &plain_) ++ranked_size_;
}

task* task_queue::front_of_ranks() const noexcept {
  const auto& [priority, list] = *ranked_.begin();
  return priority > 0 || plain_.empty() ? list.front() : plain_.front();
}

task* task_queue::pop_from_ranks() noexcept {
  const auto first = ranked_.begin();
  task* node = nullptr;
  if (first->first > 0 || plain_.empty()) {
    node = first->second.pop();
    --ranked_size_;
    if (first->second.empty()) ranked_.erase(first);
  } else {
    node = plain_.pop();
  }
  if (node->extras() != nullptr) forget_deadline(*node);
  return node;
}

void task_queue::forget_deadline(task& node) noexcept {
  task_extras& extras = *node.extras();
  if (extras.deadline != never) due_.erase(extras.due_at);
}

bool task_queue::remove(task& node) noexcept {
  const int priority = node.extras() != nullptr ? node.extras()->priority : 0;
  if (priority == 0) {
    if (!plain_.remove(node)) return false;
  } else {
    const auto rank = ranked_.find(priority);
    if (rank == ranked_.end() || !rank->second.remove(node)) return false;
    --ranked_size_;
    if (rank->second.empty()) ranked_.erase(rank);
  }
  if (node.extras() != nullptr) forget_deadline(node);
  return true;
}

task_list task_queue::take_all() noexcept {
  if (ranked_.empty() && due_.empty()) return std::move(plain_);
  task_list all;
  while (task* const node = pop()) all.push(*node);
  return all;
}

task_list task_queue::take_expired(time_point now) noexcept {
  task_list expired;
  while (!due_.empty() && due_.begin()->first <= now) {
    task& node = *due_.begin()->second;
    remove(node);  // erases the entry
    expired.push(node);
  }
  return expired;
}

}  // namespace triga::exec
