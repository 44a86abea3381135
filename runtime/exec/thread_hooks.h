// SPDX-License-Identifier: MIT
#pragma once

namespace triga::exec {

// What a worker does around the tasks it runs, where they need more than a thread: the bindings take the GIL
// in attach() and let it go in detach(). None may be noexcept in an implementation that attaches to
// Python: on 3.11 to 3.13 a thread that asks for the GIL after finalization began is unwound (pthread_exit)
// through any of them.
class thread_hooks {
 public:
  virtual void attach() {}
  virtual void detach() {}
  // Called after each task, attached: who wants to attach, too, may get a turn in it.
  virtual void after_task() {}

 protected:
  ~thread_hooks() = default;
};

// For tasks that need nothing.
class no_hooks final : public thread_hooks {};

}  // namespace triga::exec
