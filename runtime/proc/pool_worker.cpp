// SPDX-License-Identifier: MIT
#include "runtime/proc/pool_worker.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "runtime/trace/counters.h"

namespace triga::proc {
namespace {

std::uint16_t tag_of(const pool_task& task) noexcept {
  return task.terms.time_limit.count() != 0 ? task.terms.tag | timed_flag : task.terms.tag;
}

}  // namespace

pool_worker::pool_worker(std::uint64_t id, const channel_options& options, std::uint64_t quota)
    : id_(id), quota_(quota) {
  home_ = std::make_shared<const shm::segment>(
      create_channel(options).value_or_throw("cannot make shared memory for a worker process"));
  memory_ = open_channel(*home_).value_or_throw("cannot map a worker's shared memory");
  tasks_ = shm::ring_writer(memory_.task_ring(), memory_.capacity);
  results_ = shm::ring_reader(memory_.result_ring(), memory_.capacity);
  task_slab_ = memory_.task_slab();
  slab_ = shm::slab_writer(task_slab_);
  result_slab_ = memory_.result_slab();
  bell_ = shm::doorbell::create().value_or_throw("eventfd");
}

link_descriptors pool_worker::descriptors() const noexcept {
  return {.memory = home_->descriptor(), .bell = bell_.descriptor()};
}

std::uint64_t pool_worker::unsettled() const noexcept {
  // When the worker has read all of its ring, what was revoked in it is behind it too.
  if (in_flight_.empty() && tasks_.drained()) return 0;
  return next_sequence_ - 1 - settled_sequence_;
}

bool pool_worker::accepts(std::size_t depth) const noexcept {
  if (dead || corrupt || sending || !process || quota_ == 0 || why != end_reason::its_own) return false;
  if (in_flight_.size() >= depth) return false;
  // An idle worker may use every claim slot, a busy one half: what is taken back from it leaves used slots
  // behind.
  return unsettled() < (in_flight_.empty() ? claim_slots : claim_slots / 2);
}

bool pool_worker::offer(task_pointer& task) {
  if (unsettled() == 0) settled_sequence_ = next_sequence_ - 1;
  task->sequence = next_sequence_;
  const message_header header{next_sequence_, tag_of(*task), 0, 0};
  const std::array<byte_span, 2> pieces{std::as_bytes(std::span<const message_header, 1>(&header, 1)),
                                        task->body};
  // Relaxed: the ring's head, stored after, publishes it.
  memory_.claim_of(task->sequence).store(value_of(claim::offered), std::memory_order_relaxed);
  if (tasks_.try_write(pieces) != shm::ring_status::done) return false;
  posted(std::move(task));
  return true;
}

result<envelope> pool_worker::stage(pool_task& task, const content& what, std::size_t inline_limit) {
  task.sequence = next_sequence_;
  return envelope::stage(what, task.sequence, tag_of(task), inline_limit, slab_, *home_);
}

bool pool_worker::post(task_pointer& task, const envelope& ready) {
  if (unsettled() == 0) settled_sequence_ = next_sequence_ - 1;
  memory_.claim_of(task->sequence)
      .store(value_of(claim::offered), std::memory_order_relaxed);  // as in offer()
  if (ready.write(tasks_) != shm::ring_status::done) return false;
  if (!ready.blocks().empty())
    staged_.emplace_back(task->sequence, std::vector(ready.blocks().begin(), ready.blocks().end()));
  posted(std::move(task));
  return true;
}

void pool_worker::posted(task_pointer task) {
  ++next_sequence_;
  --quota_;
  trace::count(trace::counter::messages_sent);
  trace::count(trace::counter::message_bytes, task->size);
  task->worker = this;
  in_flight_.push_back(std::move(task));
  if (tasks_.take_parked_reader() != 0) {
    trace::count(trace::counter::wakes);
    bell_.ring();
  } else {
    trace::count(trace::counter::wakes_saved);
  }
}

bool pool_worker::is_taken(const pool_task& task) const noexcept {
  return memory_.claim_of(task.sequence).load(std::memory_order_seq_cst) != value_of(claim::offered);
}

task_pointer pool_worker::take_back(pool_task& task) {
  auto offered = value_of(claim::offered);
  // seq_cst: decides against the worker's take; see claim.
  if (!memory_.claim_of(task.sequence)
           .compare_exchange_strong(offered, value_of(claim::revoked), std::memory_order_seq_cst)) {
    return nullptr;
  }
  task_pointer taken = in_flight_.remove(task);
  taken->worker = nullptr;
  ++quota_;
  if (taken->large) {
    if (!taken->whole) recover(*taken);
    std::erase_if(staged_, [&](const auto& each) { return each.first == taken->sequence; });
  }
  return taken;
}

bool pool_worker::condemn(const pool_task& task, end_reason reason) noexcept {
  auto taken = value_of(claim::taken);
  // seq_cst: decides against the worker's answer; see claim.
  if (!memory_.claim_of(task.sequence)
           .compare_exchange_strong(taken, value_of(claim::condemned), std::memory_order_seq_cst)) {
    return false;
  }
  kill(reason);
  return true;
}

void pool_worker::kill(end_reason reason) noexcept {
  if (why == end_reason::its_own) why = reason;
  if (process) ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
}

time_point pool_worker::expiry_of(const pool_task& task, time_point now) const noexcept {
  if (!is_taken(task)) return now + task.terms.time_limit;
  // Relaxed: the claim, loaded with more, was stored after it.
  const nanoseconds since(memory_.header().busy_since.load(std::memory_order_relaxed));
  return std::min(time_point(since), now) + task.terms.time_limit;
}

shm::ring_status pool_worker::next(message& received) {
  std::vector<std::byte> raw;
  const shm::ring_status status = results_.try_read(raw);
  if (status != shm::ring_status::done) return status;
  if (results_.take_parked_writer() != 0) bell_.ring();
  auto parsed = message::parse(std::move(raw), home_, result_slab_, &task_slab_);
  if (!parsed) return shm::ring_status::corrupt;
  received = std::move(*parsed);
  return status;
}

task_pointer pool_worker::finish(std::uint64_t sequence) {
  if (in_flight_.empty() || in_flight_.front()->sequence != sequence || !is_taken(*in_flight_.front()))
    return nullptr;
  settled_sequence_ = sequence;
  if (in_flight_.front()->large)
    std::erase_if(staged_, [&](const auto& each) { return each.first == sequence; });
  return in_flight_.pop_front();
}

task_pointer pool_worker::salvage() {
  task_pointer task = in_flight_.pop_front();
  if (task == nullptr) return nullptr;
  task->worker = nullptr;
  if (task->large && !task->whole && !is_taken(*task)) recover(*task);
  return task;
}

void pool_worker::recover(pool_task& task) {
  const auto found = std::find_if(staged_.begin(), staged_.end(),
                                  [&](const auto& each) { return each.first == task.sequence; });
  if (found == staged_.end()) return;
  for (const auto& where : found->second) {
    std::vector<std::byte> bytes(where.length);
    // A payload that cannot be read back goes on empty, and the worker that gets it says that it makes no
    // task.
    if (home_->read_at(where.offset, bytes) != 0) bytes.clear();
    // A worker that lives still comes past the message, and gives its place back then.
    if (dead) slab_.take_back(where, *home_);
    if (task.body.empty()) {
      task.body = std::move(bytes);
    } else {
      task.buffers.push_back(std::move(bytes));
    }
  }
  task.whole = true;
}

void pool_worker::ask_to_stop() const noexcept {
  // seq_cst: against the worker's look between parking and sleeping.
  memory_.header().stop.store(1, std::memory_order_seq_cst);
  bell_.ring();
}

}  // namespace triga::proc
