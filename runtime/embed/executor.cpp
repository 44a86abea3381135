// SPDX-License-Identifier: MIT
#include "runtime/embed/executor.h"

#include "runtime/embed/attachment.h"
#include "runtime/embed/python_worker.h"

namespace triga::embed {

executor::executor(interpreter& python, std::size_t workers)
    : python_(python), pool_({.max_workers = workers}, [&python](exec::thread_pool& pool) {
        python_worker hooks(python.state());
        pool.work(hooks);
      }) {
  python_.enlist(*this);
}

failure executor::dropped() {
  return {"CancelledError", "the executor was shut down before the task ran", ""};
}

void executor::hand_over(std::unique_ptr<any_task> task) {
  if (pool_.submit(*task)) {
    static_cast<void>(task.release());  // it deletes itself in run() or drop()
    return;
  }
  // No GIL is needed: what the task holds of Python takes it for itself.
  task.release()->drop();
}

void executor::shut_down(queued_tasks what) noexcept {
  std::call_once(ended_, [&] {
    python_.strike(*this);
    // The workers need the GIL to finish; a caller that holds it would wait for ever.
    const detached gil;
    pool_.pool().close();
    if (what == queued_tasks::drop) {
      exec::task_list queued = pool_.take_all();
      while (exec::task* const each = queued.pop()) static_cast<any_task*>(each)->drop();
    }
    pool_.shut_down();
  });
}

}  // namespace triga::embed
