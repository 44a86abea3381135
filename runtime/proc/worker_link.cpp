// SPDX-License-Identifier: MIT
#include "runtime/proc/worker_link.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

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
  slab_ = shm::slab_writer(result_slab_begin, result_slab_end);
}

worker_link::received worker_link::receive(message& task) {
  std::vector<std::byte> raw;
  for (;;) {
    const shm::ring_status status = tasks_.try_read(raw);
    if (status == shm::ring_status::corrupt) return received::corrupt;
    if (status == shm::ring_status::done) {
      auto parsed = message::parse(std::move(raw), home_, task_slab_begin, task_slab_end);
      if (!parsed) return received::corrupt;
      raw.clear();
      auto offered = static_cast<std::uint32_t>(claim::offered);
      // seq_cst: decides against the parent's revoke; see claim.
      if (!memory_.claim_of(parsed->sequence)
               .compare_exchange_strong(offered, static_cast<std::uint32_t>(claim::taken),
                                        std::memory_order_seq_cst)) {
        continue;  // revoked: it runs elsewhere
      }
      trace::count(trace::counter::messages_received);
      task = std::move(*parsed);
      return received::task;
    }
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

worker_link::sent worker_link::send(const content& what, std::uint64_t sequence, std::uint16_t tag,
                                    int& error) {
  auto ready = envelope::stage(what, sequence, tag, inline_limit(), slab_, *home_);
  if (!ready) {
    error = ready.error();
    return sent::no_memory;
  }
  bool parked_before = false;
  for (;;) {
    const shm::ring_status status = ready->write(results_);
    if (status == shm::ring_status::too_large) {
      ready->discard(*home_);
      error = EMSGSIZE;
      return sent::no_memory;
    }
    if (status == shm::ring_status::done) {
      if (parked_before) results_.park(0);
      trace::count(trace::counter::messages_sent);
      trace::count(trace::counter::message_bytes, what.body_size());
      wake_parent();
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
