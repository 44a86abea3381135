// SPDX-License-Identifier: MIT
#include "runtime/exec/crew.h"

#include <climits>
#include <new>
#include <utility>

#include "runtime/base/scope_exit.h"

namespace triga::exec {
namespace {

constexpr std::uint32_t dismissed = 1U << 31;

}  // namespace

struct crew::helper final : thread_job {
  explicit helper(std::shared_ptr<shared> its_work) noexcept : work(std::move(its_work)) {}

  void run() override {
    if (!work->enter()) return;
    // Also when the thread is unwound (pthread_exit in what it calls).
    const scope_exit leaving([this]() noexcept { work->leave(); });
    work->take_part();
    thread_cache::about_to_park();
  }
  void parked() noexcept override { delete this; }

  std::shared_ptr<shared> work;
};

bool crew::shared::enter() noexcept {
  std::uint32_t now = present.load(std::memory_order_relaxed);
  do {
    if ((now & dismissed) != 0) return false;
    // acquire: what the crew's owner prepared is seen.
  } while (
      !present.compare_exchange_weak(now, now + 1, std::memory_order_acquire, std::memory_order_relaxed));
  return true;
}

void crew::shared::leave() noexcept {
  // release: dismiss() promises that what the helpers did is visible.
  if (present.fetch_sub(1, std::memory_order_release) == dismissed + 1) sync::futex_wake(present, INT_MAX);
}

crew::crew(std::function<void()> take_part, thread_cache& cache)
    : shared_(std::make_shared<shared>()), cache_(cache) {
  shared_->take_part = std::move(take_part);
}

unsigned crew::summon(unsigned helpers) noexcept {
  for (unsigned summoned = 0; summoned < helpers; ++summoned) {
    auto* const job = new (std::nothrow) helper(shared_);
    if (job == nullptr) return summoned;
    if (auto started = cache_.start(*job); !started) {
      delete job;
      return summoned;
    }
  }
  return helpers;
}

bool crew::dismiss(time_point deadline) noexcept {
  // acquire: pairs with leave().
  std::uint32_t present = shared_->present.fetch_or(dismissed, std::memory_order_acquire) | dismissed;
  while (present != dismissed) {
    const sync::wait_status status = sync::futex_wait(shared_->present, present, deadline);
    present = shared_->present.load(std::memory_order_acquire);
    if (status == sync::wait_status::timed_out) return present == dismissed;
  }
  return true;
}

}  // namespace triga::exec
