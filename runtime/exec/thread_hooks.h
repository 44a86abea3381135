// SPDX-License-Identifier: MIT
#pragma once

namespace triga::exec {

// What a worker does around the tasks it runs, where they need more than a thread: the bindings take the GIL
// in attach() and let it go in detach(). Neither may be noexcept in an implementation that attaches to
// Python: on 3.11 to 3.13 a thread that asks for the GIL after finalization began is unwound (pthread_exit)
// through both.
class thread_hooks {
 public:
  virtual void attach() {}
  virtual void detach() {}
  // Asked after each task: true makes the worker detach and attach again, so that others get their turn.
  [[nodiscard]] virtual bool turn_is_over() { return false; }

 protected:
  ~thread_hooks() = default;
};

// For tasks that need nothing.
class no_hooks final : public thread_hooks {};

}  // namespace triga::exec
