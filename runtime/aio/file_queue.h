// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "runtime/aio/file_operation.h"
#include "runtime/loop/event_loop.h"

namespace triga::aio {

// Has operations on files done while an event loop goes on.
//
// The problem: readiness says nothing about files, which are always ready and block all the same. io_uring
// does the operation and tells when it is done; where the kernel or a sandbox has none (and with
// TRIGA_IO=epoll) threads do it, which touch no Python.
//
// Everything is used in the loop's thread, under the loop's client's lock. In a forked child a queue is of no
// use: what it was doing is the parent's.
class file_queue {
 public:
  // The kernel's if it can be had, else one of threads.
  static std::unique_ptr<file_queue> make(loop::event_loop& loop);
  static std::unique_ptr<file_queue> make_of_kernel(loop::event_loop& loop);  // null if it cannot be had
  static std::unique_ptr<file_queue> make_of_threads(loop::event_loop& loop);

  file_queue(const file_queue&) = delete;
  file_queue& operator=(const file_queue&) = delete;
  file_queue(file_queue&&) = delete;
  file_queue& operator=(file_queue&&) = delete;
  // Cancels what can be cancelled and waits for the rest: nobody writes to a buffer afterwards. on_done() is
  // called for none of it.
  virtual ~file_queue() = default;

  // The operation has to live until it is done, or until the queue is destroyed. Done within the call only if
  // it cannot be started (-EAGAIN).
  virtual void start(file_operation& operation) = 0;
  // Ends an operation early if the kernel can, and only if it can: then it is done with -ECANCELED. Nothing
  // happens if it is done already.
  virtual void cancel(file_operation& operation) = 0;

  [[nodiscard]] virtual bool is_of_kernel() const noexcept = 0;
  // How many operations are not done yet.
  [[nodiscard]] virtual std::size_t pending() const noexcept = 0;

 protected:
  file_queue() = default;
};

}  // namespace triga::aio
