// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "runtime/proc/channel.h"
#include "runtime/proc/supervisor.h"

namespace triga::proc {

// The end of a worker process.
struct departure {
  std::uint64_t worker = 0;
  pid_t pid = 0;
  exit_status status;
  bool was_ready = false;    // it had told that its start was complete
  bool was_done = false;     // it had run all the tasks of its quota
  bool was_corrupt = false;  // it was killed because its ring held nonsense
};

// "was killed by signal 9 (SIGKILL)", "exited with code 3"
std::string describe(const departure& worker);

// The tags of a worker's messages: what a task returned, what it raised, and that the worker's start is
// complete.
inline constexpr std::uint16_t value_tag = 0;
inline constexpr std::uint16_t error_tag = 1;
inline constexpr std::uint16_t ready_tag = 0xFFFF;

// What became of a task.
struct outcome {
  enum class kind {
    answered,    // `answer` is what the worker sent; its tag is the worker's word for success or failure
    lost,        // the worker that ran it died: `worker`
    unsendable,  // no memory for it: `error`, an errno
    cancelled    // it was taken back before a worker took it, or the pool was ended
  };
  kind what = kind::cancelled;
  message answer;
  departure worker;
  int error = 0;

  [[nodiscard]] bool succeeded() const noexcept { return what == kind::answered && answer.tag == value_tag; }
};

// What a receiver tells the pool about an outcome that it was given.
struct delivery {
  bool wake = false;    // somebody may be waiting for what is now complete
  bool notice = false;  // the collecting thread shall be told the receiver's token
};

// Takes the outcomes of tasks. deliver() is called with the pool's lock held: it must be quick and must not
// call the pool.
class receiver {
 public:
  receiver() = default;
  receiver(const receiver&) = delete;
  receiver& operator=(const receiver&) = delete;
  receiver(receiver&&) = delete;
  receiver& operator=(receiver&&) = delete;
  virtual ~receiver() = default;
  virtual delivery deliver(std::uint64_t index, outcome&& end) = 0;
  // False if only the last outcome of many matters, so that results may come in bunches.
  [[nodiscard]] virtual bool prompt() const noexcept { return true; }

  std::uint64_t token = 0;
};

}  // namespace triga::proc
