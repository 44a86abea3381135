// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include "runtime/aio/file_queue.h"
#include "runtime/base/fork_generation.h"
#include "runtime/io/uring.h"
#include "runtime/trace/counters.h"

namespace triga::aio {
namespace {

constexpr unsigned entries = 128;
// What is in the page cache is copied within the submission, so by the loop's thread; a larger operation goes
// to a thread of the kernel's at once.
constexpr std::size_t largest_in_line = std::size_t{256} << 10;
// The kernel's results are ints.
constexpr std::size_t largest_operation = std::size_t{1} << 30;
constexpr unsigned truncate_opcode = 55;  // IORING_OP_FTRUNCATE, Linux 6.9

unsigned size_of(const file_operation& operation) noexcept {
  return static_cast<unsigned>(std::min(operation.size, largest_operation));
}

void fill(io_uring_sqe& entry, file_operation& operation) noexcept {
  entry.fd = operation.fd;
  entry.user_data = reinterpret_cast<std::uint64_t>(&operation);
  switch (operation.what) {
    case verb::open:
      entry.opcode = IORING_OP_OPENAT;
      entry.fd = AT_FDCWD;
      entry.addr = reinterpret_cast<std::uint64_t>(operation.path.c_str());
      entry.len = operation.mode;
      entry.open_flags = static_cast<unsigned>(operation.flags);
      break;
    case verb::read:
    case verb::write:
      entry.opcode = operation.what == verb::read ? IORING_OP_READ : IORING_OP_WRITE;
      entry.addr = reinterpret_cast<std::uint64_t>(operation.data);
      entry.len = size_of(operation);
      entry.off = static_cast<std::uint64_t>(operation.offset);
      if (operation.size > largest_in_line) entry.flags = IOSQE_ASYNC;
      break;
    case verb::sync:
      entry.opcode = IORING_OP_FSYNC;
      break;
    case verb::size:
      entry.opcode = IORING_OP_STATX;
      entry.addr = reinterpret_cast<std::uint64_t>("");
      entry.len = STATX_SIZE;
      entry.off = reinterpret_cast<std::uint64_t>(&operation.about);
      entry.statx_flags = AT_EMPTY_PATH;
      break;
    case verb::truncate:
      entry.opcode = truncate_opcode;
      entry.off = static_cast<std::uint64_t>(operation.offset);
      break;
    case verb::close:
      entry.opcode = IORING_OP_CLOSE;
      break;
  }
}

class kernel_file_queue final : public file_queue, private io::watcher, private loop::ready_task {
 public:
  kernel_file_queue(loop::event_loop& loop, std::unique_ptr<io::uring> ring)
      : loop_(loop), ring_(std::move(ring)), fork_generation_(fork_generation()) {}
  kernel_file_queue(const kernel_file_queue&) = delete;
  kernel_file_queue& operator=(const kernel_file_queue&) = delete;
  kernel_file_queue(kernel_file_queue&&) = delete;
  kernel_file_queue& operator=(kernel_file_queue&&) = delete;
  ~kernel_file_queue() override;

  [[nodiscard]] bool watch() { return static_cast<bool>(loop_.poller().add(ring_->fd(), EPOLLIN, *this)); }

  void start(file_operation& operation) override;
  void cancel(file_operation& operation) override;
  [[nodiscard]] bool is_of_kernel() const noexcept override { return true; }
  [[nodiscard]] std::size_t pending() const noexcept override { return pending_.size(); }

 private:
  void on_ready(std::uint32_t) override {
    if (is_of_parent()) loop_.poller().remove(ring_->fd());  // the completions are for the parent to take
    reap();
  }
  void run() override {  // as a ready_task
    posted_ = false;
    reap();
  }
  [[nodiscard]] bool is_of_parent() const noexcept { return fork_generation_ != fork_generation(); }
  io_uring_sqe* next_entry() noexcept;
  void submit();
  void post();
  void reap();
  void done(file_operation& operation, std::int64_t result);

  loop::event_loop& loop_;
  std::unique_ptr<io::uring> ring_;
  std::unordered_set<file_operation*> pending_;
  bool posted_ = false;  // run() is on the loop's queue
  std::uint32_t fork_generation_;
};

// A kernel of before 6.9 does not know how to truncate; that is a matter of the inode, and waits for no data.
bool needs_system_call(const file_operation& operation, std::int64_t result) noexcept {
  return operation.what == verb::truncate && result == -EINVAL && operation.offset >= 0;
}

io_uring_sqe* kernel_file_queue::next_entry() noexcept {
  io_uring_sqe* const entry = ring_->try_entry();
  if (entry != nullptr || !ring_->submit()) return entry;
  return ring_->try_entry();
}

void kernel_file_queue::start(file_operation& operation) {
  io_uring_sqe* const entry = is_of_parent() ? nullptr : next_entry();
  pending_.insert(&operation);
  loop_.expect_delivery();
  if (entry == nullptr) {  // the kernel is short of memory, or this is a child
    done(operation, -EAGAIN);
    return;
  }
  fill(*entry, operation);
  trace::count(trace::counter::file_operations);
  submit();
}

void kernel_file_queue::cancel(file_operation& operation) {
  if (is_of_parent() || !pending_.contains(&operation)) return;
  io_uring_sqe* const entry = next_entry();
  if (entry == nullptr) return;
  entry->opcode = IORING_OP_ASYNC_CANCEL;
  entry->fd = -1;
  entry->addr = reinterpret_cast<std::uint64_t>(&operation);  // its user_data; our own is 0
  submit();
}

void kernel_file_queue::submit() {
  const bool taken = ring_->submit();
  // What was done within the submission is told in the next turn, so that a task that reads what is cached
  // yields to others. What the kernel did not take is tried again there.
  if (!taken || ring_->has_completions()) post();
}

void kernel_file_queue::post() {
  if (std::exchange(posted_, true)) return;
  loop_.post(*this);
}

void kernel_file_queue::reap() {
  if (is_of_parent()) return;
  do {
    // Also has the kernel bring what there was no room for in the completion queue.
    ring_->submit();
    ring_->reap([this](std::uint64_t who, int result) {
      if (who == 0) return;  // a cancellation's own
      auto& operation = *reinterpret_cast<file_operation*>(who);
      done(operation, needs_system_call(operation, result) ? perform(operation) : result);
    });
  } while (ring_->has_completions());
  if (ring_->has_prepared()) post();
}

void kernel_file_queue::done(file_operation& operation, std::int64_t result) {
  pending_.erase(&operation);
  loop_.delivery_came();
  operation.on_done(outcome_of(operation, result));
}

kernel_file_queue::~kernel_file_queue() {
  loop_.poller().remove(ring_->fd());
  if (!is_of_parent()) {
    for (file_operation* each : std::unordered_set(pending_)) cancel(*each);
    while (!pending_.empty() && ring_->submit(1)) {
      ring_->reap([this](std::uint64_t who, int) { pending_.erase(reinterpret_cast<file_operation*>(who)); });
    }
  }
  loop_.forget(*this);  // last: the cancellations were posted, too
}

}  // namespace

std::unique_ptr<file_queue> file_queue::make_of_kernel(loop::event_loop& loop) {
  auto ring = io::uring::make({.entries = entries});
  // Linux 5.6 brought all that is used here but truncating; STATX came last.
  if (ring == nullptr || !ring->supports(IORING_OP_STATX)) return nullptr;
  auto queue = std::make_unique<kernel_file_queue>(loop, std::move(ring));
  if (!queue->watch()) return nullptr;
  return queue;
}

std::unique_ptr<file_queue> file_queue::make(loop::event_loop& loop) {
  auto queue = make_of_kernel(loop);
  return queue != nullptr ? std::move(queue) : make_of_threads(loop);
}

}  // namespace triga::aio
