// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/proc/channel.h"

namespace triga::proc {

class receiver;
class pool_worker;

// What is asked of a task beyond its content.
struct task_terms {
  std::uint16_t tag = 0;      // for the worker
  std::uint16_t retries = 0;  // how often it may be begun again after the worker that ran it has died
  nanoseconds time_limit{0};  // counted from when a worker takes it; 0: none
};

// A task that the pool keeps until its outcome is known: also while it lies in a worker's ring, as it may
// have to go to another worker.
struct pool_task {
  std::shared_ptr<receiver> to;
  std::uint64_t index = 0;
  task_terms terms;
  std::vector<std::byte> body;                  // empty while it lies in a worker's slab
  std::vector<std::vector<std::byte>> buffers;  // the same
  std::size_t size = 0;
  bool large = false;             // travels through a slab
  bool whole = false;             // body and buffers hold all of it
  std::uint64_t sequence = 0;     // in the worker's ring
  pool_worker* worker = nullptr;  // in whose ring it lies; nullptr: it waits in the pool

  void keep(const content& what);

 private:
  friend class task_list;
  pool_task* previous_ = nullptr;
  pool_task* next_ = nullptr;
};

using task_pointer = std::unique_ptr<pool_task>;

// Tasks in order, owned; any of them leaves in constant time.
class task_list {
 public:
  task_list() = default;
  task_list(const task_list&) = delete;
  task_list& operator=(const task_list&) = delete;
  task_list(task_list&& other) noexcept;
  task_list& operator=(task_list&&) = delete;
  ~task_list() { clear(); }

  void push_back(task_pointer task) noexcept;
  void push_front(task_pointer task) noexcept;
  // nullptr if there is none.
  task_pointer pop_front() noexcept { return first_ != nullptr ? remove(*first_) : nullptr; }
  task_pointer remove(pool_task& task) noexcept;
  void clear() noexcept;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] pool_task* front() const noexcept { return first_; }
  [[nodiscard]] pool_task* back() const noexcept { return last_; }
  [[nodiscard]] static pool_task* after(const pool_task& task) noexcept { return task.next_; }

 private:
  pool_task* first_ = nullptr;
  pool_task* last_ = nullptr;
  std::size_t size_ = 0;
};

// The tasks of one receiver that are out, by index. Indexes are given out in sequence and tasks end roughly
// in that order, so a window over them finds a task without a search.
class task_window {
 public:
  void put(std::uint64_t index, pool_task* task);
  // nullptr if it is not out.
  [[nodiscard]] pool_task* find(std::uint64_t index) const noexcept;
  void erase(std::uint64_t index) noexcept;

 private:
  std::deque<pool_task*> slots_;
  std::uint64_t first_ = 0;  // the index of slots_[0]
};

}  // namespace triga::proc
