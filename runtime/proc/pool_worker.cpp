// SPDX-License-Identifier: MIT
#include "runtime/proc/pool_worker.h"

#include <algorithm>

#include "runtime/trace/counters.h"

namespace triga::proc {
namespace {

constexpr std::uint32_t value_of(claim state) noexcept { return static_cast<std::uint32_t>(state); }

}  // namespace

void pool_task::keep(const content& what) {
  body.clear();
  body.reserve(what.body_size());
  for (const byte_span& piece : what.body) body.insert(body.end(), piece.begin(), piece.end());
  buffers.clear();
  for (const byte_span& buffer : what.buffers) buffers.emplace_back(buffer.begin(), buffer.end());
}

pool_worker::pool_worker(std::uint64_t id, std::size_t ring_capacity, std::uint64_t quota)
    : id_(id), slab_(task_slab_begin, task_slab_end), quota_(quota) {
  home_ = std::make_shared<const shm::segment>(
      create_channel(ring_capacity).value_or_throw("cannot make shared memory for a worker process"));
  memory_ = map_channel(*home_, ring_capacity).value_or_throw("cannot map a worker's shared memory");
  tasks_ = shm::ring_writer(memory_.task_ring(), ring_capacity);
  results_ = shm::ring_reader(memory_.result_ring(), ring_capacity);
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
  if (dead || corrupt || sending || !process || quota_ == 0) return false;
  if (in_flight_.size() >= depth) return false;
  // An idle worker may use every claim slot, a busy one half: what is taken back from it leaves used slots
  // behind.
  return unsettled() < (in_flight_.empty() ? claim_slots : claim_slots / 2);
}

bool pool_worker::offer(pool_task& task, const content& what, std::size_t inline_limit) {
  auto ready = stage(task, what, inline_limit);
  return ready && post(task, *ready);
}

result<envelope> pool_worker::stage(pool_task& task, const content& what, std::size_t inline_limit) {
  task.sequence = next_sequence_;
  return envelope::stage(what, task.sequence, task.tag, inline_limit, slab_, *home_);
}

bool pool_worker::post(pool_task& task, const envelope& ready) {
  if (unsettled() == 0) settled_sequence_ = next_sequence_ - 1;
  // Relaxed: the ring's head, stored after, publishes it.
  memory_.claim_of(task.sequence).store(value_of(claim::offered), std::memory_order_relaxed);
  if (ready.write(tasks_) != shm::ring_status::done) return false;
  ++next_sequence_;
  --quota_;
  trace::count(trace::counter::messages_sent);
  trace::count(trace::counter::message_bytes, task.size);
  if (!ready.blocks().empty())
    staged_.emplace_back(task.sequence, std::vector(ready.blocks().begin(), ready.blocks().end()));
  in_flight_.push_back(std::move(task));
  if (tasks_.take_parked_reader() != 0) {
    trace::count(trace::counter::wakes);
    bell_.ring();
  } else {
    trace::count(trace::counter::wakes_saved);
  }
  return true;
}

bool pool_worker::is_taken(const pool_task& task) const noexcept {
  return memory_.claim_of(task.sequence).load(std::memory_order_seq_cst) != value_of(claim::offered);
}

bool pool_worker::take_back(pool_task& task) {
  return !in_flight_.empty() && take_back(in_flight_.back().to.get(), in_flight_.back().index, task);
}

bool pool_worker::take_back(const receiver* to, std::uint64_t index, pool_task& task) {
  const auto found = std::find_if(in_flight_.rbegin(), in_flight_.rend(), [&](const pool_task& each) {
    return each.to.get() == to && each.index == index;
  });
  if (found == in_flight_.rend()) return false;
  auto offered = value_of(claim::offered);
  // seq_cst: decides against the worker's take; see claim.
  if (!memory_.claim_of(found->sequence)
           .compare_exchange_strong(offered, value_of(claim::revoked), std::memory_order_seq_cst)) {
    return false;
  }
  task = std::move(*found);
  in_flight_.erase(std::next(found).base());
  ++quota_;
  if (task.large) recover(task);
  std::erase_if(staged_, [&](const auto& each) { return each.first == task.sequence; });
  return true;
}

shm::ring_status pool_worker::next(message& received) {
  std::vector<std::byte> raw;
  const shm::ring_status status = results_.try_read(raw);
  if (status != shm::ring_status::done) return status;
  if (results_.take_parked_writer() != 0) bell_.ring();
  auto parsed = message::parse(std::move(raw), home_, result_slab_begin, result_slab_end);
  if (!parsed) return shm::ring_status::corrupt;
  received = std::move(*parsed);
  return status;
}

bool pool_worker::finish(std::uint64_t sequence, pool_task& task) {
  if (in_flight_.empty() || in_flight_.front().sequence != sequence || !is_taken(in_flight_.front()))
    return false;
  task = std::move(in_flight_.front());
  in_flight_.pop_front();
  settled_sequence_ = sequence;
  if (task.large) std::erase_if(staged_, [&](const auto& each) { return each.first == sequence; });
  return true;
}

void pool_worker::recover(pool_task& task) const {
  const auto found = std::find_if(staged_.begin(), staged_.end(),
                                  [&](const auto& each) { return each.first == task.sequence; });
  if (found == staged_.end()) return;
  for (const auto& where : found->second) {
    std::vector<std::byte> bytes(where.length);
    // A payload that cannot be read back goes on empty, and the worker that gets it says that it makes no
    // task.
    if (home_->read_at(where.offset, bytes) != 0) bytes.clear();
    home_->discard(where.offset, where.length);
    // A body that was small enough for the ring was kept in the task.
    if (task.body.empty()) {
      task.body = std::move(bytes);
    } else {
      task.buffers.push_back(std::move(bytes));
    }
  }
}

void pool_worker::ask_to_stop() const noexcept {
  // seq_cst: against the worker's look between parking and sleeping.
  memory_.header().stop.store(1, std::memory_order_seq_cst);
  bell_.ring();
}

}  // namespace triga::proc
