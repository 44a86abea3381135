// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "runtime/proc/channel.h"
#include "runtime/proc/pool_task.h"
#include "runtime/proc/supervisor.h"

namespace triga::proc {

// Why a worker process has ended.
enum class end_reason : std::uint8_t {
  its_own,    // nobody here has killed it
  damage,     // it was killed because its ring held nonsense
  timeout,    // it was killed because its task ran longer than it may
  cancelling  // it was killed to cancel the task that ran
};

// The end of a worker process.
struct departure {
  std::uint64_t worker = 0;
  pid_t pid = 0;
  exit_status status;
  bool was_ready = false;  // it had told that its start was complete
  bool was_done = false;   // it had run all the tasks of its quota
  end_reason why = end_reason::its_own;
};

// "was killed by signal 9 (SIGKILL)", "exited with code 3"
std::string describe(const departure& worker);

// The tags of a worker's messages: what a task returned, what it raised, and that the worker's start is
// complete.
inline constexpr std::uint16_t value_tag = 0;
inline constexpr std::uint16_t error_tag = 1;
inline constexpr std::uint16_t ready_tag = 0xFFFF;
// The rest of an answer's tag is between the two ends' users.
inline constexpr std::uint16_t verdict_mask = 0x000F;
// In a task's tag on its way to the worker: note when it is taken.
inline constexpr std::uint16_t timed_flag = 0x8000;

// What became of a task.
struct outcome {
  enum class kind {
    answered,    // `answer` is what the worker sent; its tag is the worker's word for success or failure
    lost,        // the worker that ran it died: `worker`
    timed_out,   // the worker that ran it was killed, as it took too long: `worker`
    unsendable,  // no memory for it: `error`, an errno
    cancelled    // it was taken back before a worker took it, or the pool was ended
  };
  kind what = kind::cancelled;
  message answer;
  departure worker;
  int error = 0;

  [[nodiscard]] bool succeeded() const noexcept {
    return what == kind::answered && (answer.tag & verdict_mask) == value_tag;
  }
};

// What a receiver tells the pool about an outcome that it was given.
struct delivery {
  bool wake = false;         // somebody may be waiting for what is now complete
  std::uint64_t notice = 0;  // a token that the collecting thread shall be told; 0: none
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

  task_window tasks;  // guarded by the pool's lock
};

}  // namespace triga::proc
