// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "bindings/ipc/outgoing.h"
#include "runtime/proc/message_queue.h"
#include "runtime/shm/owner_lock.h"
#include "runtime/sync/futex.h"

namespace triga::ipc {

// A message in this process's own memory, because the shared memory was full when it was put.
struct kept_message {
  std::uint64_t sequence;
  std::uint16_t tag;
  std::vector<std::byte> body;
  std::vector<std::vector<std::byte>> buffers;

  kept_message(const outgoing& from);
  [[nodiscard]] std::size_t size() const noexcept;
};

// One process's side of a queue: the queue in shared memory, and what this process has yet to put there.
//
// put() never blocks where the queue has no bound. So what does not fit is kept, and a thread, the feeder,
// moves it on in its order; as long as something is kept, all further messages go behind it. Everything but
// the queue is guarded by the GIL.
class sender {
 public:
  explicit sender(std::unique_ptr<proc::message_queue> queue) noexcept : queue_(std::move(queue)) {}

  proc::message_queue& queue() noexcept { return *queue_; }

  // True if a message has to go behind others.
  bool has_kept();
  void keep(const outgoing& message);

  // Whether a feeder runs in this process; set by whoever starts one.
  bool has_feeder();
  void set_feeder(bool runs) noexcept { feeding_ = runs; }
  // The feeder's work: returns when it is told to finish and nothing is kept any more. Throws
  // error_already_set with the OSError of a message that could not be sent, and has been dropped.
  void feed();
  // Tells the feeder to end when all is sent.
  void finish();
  // Has the feeder drop what is kept, and end.
  void abandon();

 private:
  enum class fed { sent, again, failed };
  fed send_first(int& error);
  void look_for_fork();
  void forget_first();

  std::unique_ptr<proc::message_queue> queue_;
  std::deque<kept_message> kept_;
  shm::process_name owner_ = shm::this_process();
  bool feeding_ = false;
  bool finishing_ = false;
  std::atomic<bool> abandoned_{false};  // read without the GIL, too
  sync::futex_word news_{0};            // counts what the feeder has to look at
};

}  // namespace triga::ipc
