// SPDX-License-Identifier: MIT
#include <cerrno>
#include <memory>
#include <system_error>
#include <unordered_map>

#include "runtime/aio/file_queue.h"
#include "runtime/base/fork_generation.h"
#include "runtime/exec/cached_pool.h"
#include "runtime/trace/counters.h"

namespace triga::aio {
namespace {

constexpr std::size_t most_threads = 8;

class threaded_file_queue final : public file_queue {
 public:
  explicit threaded_file_queue(loop::event_loop& loop) : loop_(loop) {}
  threaded_file_queue(const threaded_file_queue&) = delete;
  threaded_file_queue& operator=(const threaded_file_queue&) = delete;
  threaded_file_queue(threaded_file_queue&&) = delete;
  threaded_file_queue& operator=(threaded_file_queue&&) = delete;
  ~threaded_file_queue() override;

  void start(file_operation& operation) override;
  void cancel(file_operation& operation) override;
  [[nodiscard]] bool is_of_kernel() const noexcept override { return false; }
  [[nodiscard]] std::size_t pending() const noexcept override { return pending_.size(); }

 private:
  struct errand;

  loop::event_loop& loop_;
  std::unordered_map<file_operation*, std::unique_ptr<errand>> pending_;
  std::unique_ptr<exec::cached_pool> pool_ =
      std::make_unique<exec::cached_pool>(exec::thread_pool::options{.max_workers = most_threads});
  const std::uint32_t fork_generation_ = fork_generation();
};

// One operation on its way through a thread of the pool and back to the loop.
struct threaded_file_queue::errand final : exec::task {
  struct way_back final : loop::ready_task {
    explicit way_back(errand& whose) : owner(whose) {}
    void run() override { owner.finish(); }
    errand& owner;
  };

  errand(threaded_file_queue& its_queue, file_operation& its_operation)
      : queue(its_queue), operation(its_operation) {}
  errand(const errand&) = delete;
  errand& operator=(const errand&) = delete;
  errand(errand&&) = delete;
  errand& operator=(errand&&) = delete;
  ~errand() override = default;

  // On a thread of the pool.
  void run() override {
    result = perform(operation);
    queue.loop_.post_from_any_thread(back);
  }

  // On the loop's.
  void finish() {
    file_operation& done = operation;
    const std::int64_t outcome = result;
    queue.loop_.delivery_came();
    queue.pending_.erase(&done);  // and with it this
    done.on_done(outcome);
  }

  threaded_file_queue& queue;
  file_operation& operation;
  std::int64_t result = -ECANCELED;
  way_back back{*this};
};

void threaded_file_queue::start(file_operation& operation) {
  errand& made = *(pending_[&operation] = std::make_unique<errand>(*this, operation));
  loop_.expect_delivery();
  trace::count(trace::counter::threaded_file_ops);
  try {
    if (pool_->submit(made)) return;
    made.result = -ESHUTDOWN;
  } catch (const std::system_error& error) {
    made.result = -error.code().value();
  }
  loop_.post(made.back);
}

void threaded_file_queue::cancel(file_operation& operation) {
  const auto found = pending_.find(&operation);
  // One that a thread has begun cannot be stopped.
  if (found != pending_.end() && pool_->pool().take_back(*found->second)) loop_.post(found->second->back);
}

threaded_file_queue::~threaded_file_queue() {
  if (fork_generation_ == fork_generation()) {
    static_cast<void>(pool_->take_all());
    pool_->shut_down();
  } else {
    // Left behind in the child: its destructor would wait for threads that only the parent has.
    static_cast<void>(pool_.release());  // NOLINT(bugprone-unused-return-value)
  }
  for (const auto& [operation, each] : pending_) loop_.forget(each->back);
}

}  // namespace

std::unique_ptr<file_queue> file_queue::make_of_threads(loop::event_loop& loop) {
  return std::make_unique<threaded_file_queue>(loop);
}

}  // namespace triga::aio
