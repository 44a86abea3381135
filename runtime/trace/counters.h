// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace triga::trace {

// What the core counts about its own work; triga.stats() shows them under these names. A new counter is a
// line here and its name in counter_names.
enum class counter : std::size_t {
  threads_started,    // OS threads created by the thread cache
  threads_reused,     // starts served by a parked OS thread
  tasks_run,          // tasks that a thread pool ran
  wakes,              // parked threads woken by a futex call
  wakes_saved,        // submits that needed no wake
  spins,              // times that a thread looked out for its event before it would sleep
  spins_paid,         // those in which it came
  spin_nanoseconds,   // processor time that all of them took
  queue_operations,   // put and get on a native queue
  sync_operations,    // operations on threading's native Condition, Event and semaphores
  processes_spawned,  // child processes started
  processes_reused,   // starts served by a warm process
  processes_died,     // child processes that ended by a signal or while they held work
  process_tasks_run,  // tasks that a process pool completed
  messages_sent,      // messages written to a shared-memory ring
  messages_received,  // messages read from a shared-memory ring
  message_bytes,      // bytes of both
  loop_iterations,    // turns of an event loop
  callbacks_run,      // ready callbacks that a loop ran
  timers_scheduled,   // timers put on a loop's heap
  timers_fired,       // timers that came due
  polls,              // epoll_wait calls
  descriptor_events,  // readiness events that epoll reported
  bytes_read,         // bytes that native transports and socket operations received
  bytes_written,      // bytes that they sent
  writes_gathered,    // writes of native transports that waited for the end of the turn
  stream_reads,       // reads of a StreamReader that took a copy of received bytes
  stream_passes,      // reads that passed a received bytes object on
  tls_bytes_read,     // bytes that TLS connections decrypted
  tls_bytes_written,  // bytes that TLS connections encrypted
  native_calls,       // calls of native functions that submit_native() queued
  native_ranges,      // ranges of a parallel_for() that native functions ran
  files_read,         // files that native tasks read, for their bytes or to hash them
  items_hashed,       // files and buffers that native tasks hashed
  items_compressed,   // buffers that native tasks compressed
  items_expanded,     // buffers that native tasks decompressed
  tasks_expired,      // tasks whose deadline passed while they waited for a worker
  workers_left_idle,  // workers of a pool that ended because they had no task for too long
  file_operations,    // operations of triga.aio that io_uring did
  threaded_file_ops,  // those that threads did, where there is no io_uring
  socket_operations,  // sock_recv() and its kin that were done natively
  datagrams_read,     // datagrams that native transports received
  datagrams_sent,     // datagrams that they sent
  sockets_accepted,   // connections taken from a listening socket
  payloads_returned,  // large results that a worker left where the task had brought them
  count_              // how many there are
};

inline constexpr std::size_t counter_count = static_cast<std::size_t>(counter::count_);

inline constexpr std::array<std::string_view, counter_count> counter_names = {
    "threads_started",   "threads_reused",
    "tasks_run",         "wakes",
    "wakes_saved",       "spins",
    "spins_paid",        "spin_nanoseconds",
    "queue_operations",  "sync_operations",
    "processes_spawned", "processes_reused",
    "processes_died",    "process_tasks_run",
    "messages_sent",     "messages_received",
    "message_bytes",     "loop_iterations",
    "callbacks_run",     "timers_scheduled",
    "timers_fired",      "polls",
    "descriptor_events", "bytes_read",
    "bytes_written",     "writes_gathered",
    "stream_reads",      "stream_passes",
    "tls_bytes_read",    "tls_bytes_written",
    "native_calls",      "native_ranges",
    "files_read",        "items_hashed",
    "items_compressed",  "items_expanded",
    "tasks_expired",     "workers_left_idle",
    "file_operations",   "threaded_file_ops",
    "socket_operations", "datagrams_read",
    "datagrams_sent",    "sockets_accepted",
    "payloads_returned"};

using counter_values = std::array<std::uint64_t, counter_count>;

// What one thread has counted. Only that thread writes, so relaxed loads and stores do, without a locked
// instruction; snapshot() wants a sum, not an order.
using thread_values = std::array<std::atomic<std::uint64_t>, counter_count>;

namespace detail {

class this_thread {
 public:
  static thread_values& values() noexcept { return known_ != nullptr ? *known_ : make(); }

 private:
  static thread_values& make() noexcept;

  // Null before the thread counts for the first time. Initial-exec: one instruction to read, where any other
  // model takes a call, several times in every turn of a loop. glibc has room for as much in libraries that
  // are loaded late.
  [[gnu::tls_model("initial-exec")]] static constinit inline thread_local thread_values* known_ = nullptr;
};

}  // namespace detail

// Adds to this thread's values, which are summed with the others' when somebody asks.
inline void count(counter which, std::uint64_t amount = 1) noexcept {
  std::atomic<std::uint64_t>& value = detail::this_thread::values()[static_cast<std::size_t>(which)];
  value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

// The sums over every thread, living or ended, since the process started or was forked.
counter_values snapshot();

// In a forked child: forget the parent's threads and start from zero.
void reset_after_fork_in_child() noexcept;

}  // namespace triga::trace
