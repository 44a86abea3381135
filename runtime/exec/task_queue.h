// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/exec/task.h"

namespace triga::exec {

// The tasks of a pool in the order in which they are to run: by priority, then by submission. Nearly all have
// the priority 0 and no deadline; for those it is a linked list and one comparison. Not synchronised.
class task_queue {
 public:
  [[nodiscard]] bool empty() const noexcept { return plain_.empty() && ranked_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return plain_.size() + ranked_size_; }

  // Throws std::bad_alloc, for a task with a priority or a deadline only; it is not queued then.
  void push(task& node) {
    if (node.extras() != nullptr) return push_with_extras(node);
    plain_.push(node);
  }

  // The task that is next, or nullptr.
  [[nodiscard]] task* front() const noexcept {
    if (!ranked_.empty()) return front_of_ranks();
    return plain_.front();
  }

  // Takes the task that is next, or nullptr.
  task* pop() noexcept {
    if (!ranked_.empty()) return pop_from_ranks();
    task* const node = plain_.pop();
    if (node != nullptr && node->extras() != nullptr) forget_deadline(*node);
    return node;
  }

  // Takes one task out. Looks at every task of its priority before it. False: it is not queued.
  bool remove(task& node) noexcept;

  // Takes all, in order.
  [[nodiscard]] task_list take_all() noexcept;

  // Takes those whose deadline is not after `now`, the one that had to begin first in front.
  [[nodiscard]] task_list take_expired(time_point now) noexcept;

  // The first deadline of all, or `never`.
  [[nodiscard]] time_point next_deadline() const noexcept {
    return due_.empty() ? never : due_.begin()->first;
  }

  // Calls visit(task&) for each, in no particular order; nonzero stops and is returned.
  template <class Visit>
  int each(Visit visit) const {
    for (const auto& rank : ranked_) {
      if (const int stop = rank.second.each(visit)) return stop;
    }
    return plain_.each(visit);
  }

 private:
  void push_with_extras(task& node);
  [[nodiscard]] task* front_of_ranks() const noexcept;
  task* pop_from_ranks() noexcept;
  void forget_deadline(task& node) noexcept;

  task_list plain_;  // priority 0
  // The other priorities, the greatest first; no list is empty.
  std::map<int, task_list, std::greater<>> ranked_;
  std::size_t ranked_size_ = 0;
  std::multimap<time_point, task*> due_;  // the tasks that have a deadline
};

}  // namespace triga::exec
