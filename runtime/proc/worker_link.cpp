// SPDX-License-Identifier: MIT
#include "runtime/proc/worker_link.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "runtime/proc/outcome.h"
#include "runtime/proc/parked.h"
#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"

namespace triga::proc {

worker_link::worker_link(const link_descriptors& given)
    : bell_(unique_fd(given.bell)),
      leader_(unique_fd(given.leader)),
      collector_(unique_fd(given.collector)),
      parent_(given.parent) {
  home_ = std::make_shared<const shm::segment>(
      shm::segment::adopt(unique_fd(given.memory)).value_or_throw("the worker's shared memory"));
  memory_ = open_channel(*home_).value_or_throw("the worker's channel");
  tasks_ = shm::ring_reader(memory_.task_ring(), memory_.capacity);
  results_ = shm::ring_writer(memory_.result_ring(), memory_.capacity);
  slab_ = shm::slab_writer(memory_.result_slab());
  task_slab_ = memory_.task_slab();
}

std::optional<worker_link::received> worker_link::try_receive(message& task) {
  for (;;) {
    const shm::ring_status status = tasks_.try_read(raw_);
    if (status == shm::ring_status::would_block) return std::nullopt;
    if (status != shm::ring_status::done) return received::corrupt;
    auto parsed = message::parse(std::move(raw_), home_, task_slab_);
    raw_.clear();
    if (!parsed) return received::corrupt;
    if ((parsed->tag & timed_flag) != 0) {
      // Relaxed: the claim, taken after, publishes it.
      memory_.header().busy_since.store(monotonic_clock::now().time_since_epoch().count(),
                                        std::memory_order_relaxed);
      parsed->tag &= static_cast<std::uint16_t>(~timed_flag);
    }
    auto offered = value_of(claim::offered);
    // seq_cst: decides against the parent's revoke; see claim.
    if (!memory_.claim_of(parsed->sequence)
             .compare_exchange_strong(offered, value_of(claim::taken), std::memory_order_seq_cst)) {
      continue;  // revoked: it runs elsewhere
    }
    trace::count(trace::counter::messages_received);
    task = std::move(*parsed);
    return received::task;
  }
}

worker_link::received worker_link::receive(message& task) {
  for (;;) {
    if (const auto got = try_receive(task)) return *got;
    if (unannounced_ != 0) ring_parent();  // what seemed to be more work had been revoked
    // Acquire: what the parent wrote to the ring before `stop` is seen by the look after it.
    if (memory_.header().stop.load(std::memory_order_acquire) != 0 && !tasks_.readable())
      return received::finished;
    if (spin_for_task()) continue;
    tasks_.park(1);
    sleep_end ended = sleep_end::again;
    if (!tasks_.readable() && memory_.header().stop.load(std::memory_order_seq_cst) == 0) ended = sleep();
    tasks_.park(0);
    if (ended == sleep_end::interrupted) return received::interrupted;
    if (ended == sleep_end::parent_died) return received::parent_died;
  }
}

bool worker_link::spin_for_task() noexcept {
  sync::spin look_out(sync::waiting_for::process_task);
  while (look_out.again()) {
    if (tasks_.readable()) return look_out.succeeded_at_once();
  }
  return false;
}

worker_link::sleep_end worker_link::sleep() noexcept {
  std::array<pollfd, 2> watched{pollfd{.fd = bell_.descriptor(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = parent_.get(), .events = POLLIN, .revents = 0}};
  const int ready = ::poll(watched.data(), watched.size(), -1);
  if (ready < 0) return errno == EINTR ? sleep_end::interrupted : sleep_end::again;
  if (watched[1].revents != 0) return sleep_end::parent_died;
  bell_.silence();
  return sleep_end::again;
}

void worker_link::wake_parent() {
  ++unannounced_;
  const std::uint32_t word = results_.parked_reader();
  if (word == 0) {
    unannounced_ = 0;
    return;
  }
  // A parent that wants many results is not woken for each, unless this worker has nothing else to do.
  if (unannounced_ < parked::results(word) && tasks_.readable()) return;
  ring_parent();
}

void worker_link::ring_parent() {
  unannounced_ = 0;
  const std::uint32_t taken = results_.take_parked_reader();
  if (taken != 0) (parked::who(taken) == parked::collector ? collector_ : leader_).ring();
}

bool worker_link::may_answer(std::uint64_t sequence) noexcept {
  if (sequence == 0) return true;  // not the answer to a task
  auto taken = value_of(claim::taken);
  // seq_cst: decides against the parent's condemning; see claim.
  return memory_.claim_of(sequence).compare_exchange_strong(taken, value_of(claim::answered),
                                                            std::memory_order_seq_cst) ||
         taken == value_of(claim::answered);
}

void worker_link::announce(std::size_t size) {
  trace::count(trace::counter::messages_sent);
  trace::count(trace::counter::message_bytes, size);
  wake_parent();
}

worker_link::sent worker_link::try_send(byte_span body, std::uint64_t sequence, std::uint16_t tag) {
  if (!may_answer(sequence)) return sent::condemned;
  const message_header header{sequence, tag, 0, 0};
  const std::array<byte_span, 2> pieces{std::as_bytes(std::span<const message_header, 1>(&header, 1)), body};
  const shm::ring_status status = results_.try_write(pieces);
  if (status == shm::ring_status::would_block || status == shm::ring_status::too_large)
    return sent::would_block;
  if (status != shm::ring_status::done) return sent::corrupt;
  announce(body.size());
  return sent::done;
}

worker_link::sent worker_link::send(const content& what, std::uint64_t sequence, std::uint16_t tag,
                                    int& error) {
  if (!may_answer(sequence)) return sent::condemned;
  auto ready = envelope::stage(what, sequence, tag, inline_limit(), slab_, *home_);
  if (!ready) {
    error = ready.error();
    return sent::no_memory;
  }
  bool parked_before = false;
  for (;;) {
    const shm::ring_status status = ready->write(results_);
    if (status == shm::ring_status::too_large) {
      ready->discard(slab_, *home_);
      error = EMSGSIZE;
      return sent::no_memory;
    }
    if (status == shm::ring_status::done) {
      ready->hand_over();
      if (parked_before) results_.park(0);
      announce(what.body_size());
      return sent::done;
    }
    if (status != shm::ring_status::would_block) return sent::corrupt;
    // The parent may be asleep, waiting for more results than fit.
    ring_parent();
    results_.park(1);
    // After parking comes one more look, and only then sleep; the parent may have made room in between.
    if (std::exchange(parked_before, true) && sleep() == sleep_end::parent_died) return sent::parent_died;
  }
}

}  // namespace triga::proc
