// SPDX-License-Identifier: MIT
#include "runtime/exec/at_fork.h"

#include <pthread.h>

#include <cstddef>
#include <mutex>
#include <new>

namespace triga::exec {

// Every fork_aware object of the process. Never destroyed: threads outlive static destructors.
struct fork_registry {
  std::mutex mutex;  // guards the list; held over a fork
  fork_aware* head = nullptr;

  static fork_registry& instance() {
    alignas(fork_registry) static std::byte storage[sizeof(fork_registry)];
    static fork_registry* const registry = [] {
      auto* made = new (storage) fork_registry;
      pthread_atfork([] { instance().prepare(); }, [] { instance().parent(); }, [] { instance().child(); });
      return made;
    }();
    return *registry;
  }

  void add(fork_aware& object) {
    const std::lock_guard lock(mutex);
    object.next_ = head;
    if (head != nullptr) head->previous_ = &object;
    head = &object;
  }

  void remove(fork_aware& object) {
    const std::lock_guard lock(mutex);
    (object.previous_ != nullptr ? object.previous_->next_ : head) = object.next_;
    if (object.next_ != nullptr) object.next_->previous_ = object.previous_;
  }

  void prepare() noexcept {
    mutex.lock();
    for (fork_aware* each = head; each != nullptr; each = each->next_) each->lock_for_fork();
  }

  void parent() noexcept {
    for (fork_aware* each = head; each != nullptr; each = each->next_) each->unlock_in_parent();
    mutex.unlock();
  }

  void child() noexcept {
    for (fork_aware* each = head; each != nullptr; each = each->next_) each->reset_in_child();
    new (&mutex) std::mutex;
  }
};

fork_aware::fork_aware() { fork_registry::instance().add(*this); }

fork_aware::~fork_aware() { fork_registry::instance().remove(*this); }

}  // namespace triga::exec
