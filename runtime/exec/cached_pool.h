// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "runtime/exec/thread_cache.h"
#include "runtime/exec/thread_pool.h"

namespace triga::exec {

// A thread_pool whose workers are threads of a thread_cache: the pool for C++.
//
//   exec::cached_pool pool({.max_workers = 4});
//   pool.post([] { ... });
//   pool.shut_down();             // runs what is queued, then ends the workers; so does the destructor
class cached_pool {
 public:
  // What a worker does: make its hooks and call pool.work(hooks) once.
  using worker_body = std::function<void(thread_pool&)>;

  explicit cached_pool(thread_pool::options options, worker_body body = work_without_hooks,
                       thread_cache& cache = thread_cache::process());
  cached_pool(const cached_pool&) = delete;
  cached_pool& operator=(const cached_pool&) = delete;
  cached_pool(cached_pool&&) = delete;
  cached_pool& operator=(cached_pool&&) = delete;
  ~cached_pool() { shut_down(); }

  // Queues a task that the caller owns. False: the pool was closed, or is full. Throws std::system_error
  // where a thread is needed, cannot be started and no other worker exists to run the task; the task is not
  // queued then.
  bool submit(task& node);

  // Queues a function object. The same, and std::bad_alloc.
  template <class Function>
  bool post(Function&& function) {
    auto owner = std::make_unique<function_task<std::decay_t<Function>>>(std::forward<Function>(function));
    const bool queued = submit(*owner);
    if (queued) static_cast<void>(owner.release());  // it deletes itself in run()
    return queued;
  }

  // Takes the queued tasks away unrun. Those of post() have to be run or stay allocated.
  [[nodiscard]] task_list take_all() noexcept { return pool_.take_all(); }

  // Runs what is queued, ends the workers and waits for them. May be called twice; not by a worker of this
  // pool.
  void shut_down() noexcept;

  [[nodiscard]] thread_pool& pool() noexcept { return pool_; }

  static void work_without_hooks(thread_pool& pool);

 private:
  template <class Function>
  struct function_task final : task {
    explicit function_task(Function its_function) : function(std::move(its_function)) {}
    void run() override {
      const std::unique_ptr<function_task> self(this);
      function();
    }
    Function function;
  };
  struct worker;

  int start_worker() noexcept;

  thread_pool pool_;
  const worker_body body_;
  thread_cache& cache_;
  sync::futex_word threads_{0};  // workers from their start until their thread is parked again
};

}  // namespace triga::exec
