// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <utility>

#include "runtime/base/clock.h"

namespace triga::exec {

class task;

// Work that a worker does for a task before it attaches, and other workers beside it: a call of native code
// that touches no Python object.
class detached_part {
 public:
  virtual void run_detached() noexcept = 0;

 protected:
  ~detached_part() = default;
};

// What only some tasks have. The task's owner keeps it for as long as the task is queued or runs.
struct task_extras {
  int priority = 0;                   // a greater one goes first, equal ones in the order of their submission
  time_point queued_at{};             // for whoever says how long it waited
  time_point deadline = never;        // by which it has to be taken from the queue
  detached_part* detached = nullptr;  // runs first, on the same worker, or nullptr
  std::multimap<time_point, task*>::iterator due_at{};  // the queue's own
};

// A piece of work, and the node of the queue it waits in: submitting allocates nothing. A pool never deletes
// a task.
class task {
 public:
  task() noexcept = default;
  task(const task&) = delete;
  task& operator=(const task&) = delete;
  task(task&&) = delete;
  task& operator=(task&&) = delete;

  // Called once, on a worker that is attached. The pool does not touch the task after calling it, so run()
  // may destroy it. Must not throw; may be unwound by pthread_exit.
  virtual void run() = 0;

  [[nodiscard]] task_extras* extras() const noexcept { return extras_; }
  [[nodiscard]] bool runs_detached() const noexcept {
    return extras_ != nullptr && extras_->detached != nullptr;
  }

 protected:
  virtual ~task() = default;
  // Not while it is queued.
  void set_extras(task_extras* extras) noexcept { extras_ = extras; }

 private:
  friend class task_list;
  task* next_ = nullptr;
  task_extras* extras_ = nullptr;  // nullptr for most: they are plain and FIFO
};

// Tasks in the order in which they were pushed. Owns nothing; not synchronised.
class task_list {
 public:
  task_list() noexcept = default;
  task_list(const task_list&) = delete;
  task_list& operator=(const task_list&) = delete;
  task_list(task_list&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)),
        tail_(std::exchange(other.tail_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  task_list& operator=(task_list&& other) noexcept {
    head_ = std::exchange(other.head_, nullptr);
    tail_ = std::exchange(other.tail_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~task_list() = default;

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  void push(task& node) noexcept {
    node.next_ = nullptr;
    (tail_ != nullptr ? tail_->next_ : head_) = &node;
    tail_ = &node;
    ++size_;
  }

  [[nodiscard]] task* front() const noexcept { return head_; }

  // The oldest task, or nullptr.
  task* pop() noexcept {
    task* const node = head_;
    if (node == nullptr) return nullptr;
    head_ = node->next_;
    if (head_ == nullptr) tail_ = nullptr;
    --size_;
    return node;
  }

  // Takes `node` out wherever it stands. False: it is not in the list.
  bool remove(task& node) noexcept {
    task* before = nullptr;
    for (task* each = head_; each != nullptr; before = each, each = each->next_) {
      if (each != &node) continue;
      (before != nullptr ? before->next_ : head_) = node.next_;
      if (tail_ == &node) tail_ = before;
      --size_;
      return true;
    }
    return false;
  }

  // Calls visit(task&) for each, oldest first, until it returns nonzero, and returns that (for tp_traverse).
  template <class Visit>
  int each(Visit visit) const {
    for (task* node = head_; node != nullptr; node = node->next_) {
      if (const int stop = visit(*node)) return stop;
    }
    return 0;
  }

 private:
  task* head_ = nullptr;
  task* tail_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace triga::exec
