// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

namespace triga::exec {

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

 protected:
  virtual ~task() = default;

 private:
  friend class task_list;
  task* next_ = nullptr;
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
