// SPDX-License-Identifier: MIT
#pragma once

namespace triga::exec {

// The problem: fork(2) copies the calling thread only, with every lock in the state in which some other
// thread had it. An object of this kind is locked by the forking thread over the fork, so that it is whole on
// both sides, and told in the child that its threads are gone. Works for every fork, whoever calls it
// (pthread_atfork).
//
// Objects are locked in no particular order: none may be locked while another is held, except by this.
class fork_aware {
 public:
  fork_aware(const fork_aware&) = delete;
  fork_aware& operator=(const fork_aware&) = delete;
  fork_aware(fork_aware&&) = delete;
  fork_aware& operator=(fork_aware&&) = delete;

 protected:
  fork_aware();
  // A derived class must not be used by other threads any more.
  virtual ~fork_aware();

  virtual void lock_for_fork() noexcept = 0;
  virtual void unlock_in_parent() noexcept = 0;
  // The calling thread is the only one. Locks have to be made anew.
  virtual void reset_in_child() noexcept = 0;

 private:
  friend struct fork_registry;
  fork_aware* next_ = nullptr;
  fork_aware* previous_ = nullptr;
};

}  // namespace triga::exec
