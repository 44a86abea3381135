// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "bindings/native/work.h"
#include "runtime/base/clock.h"
#include "runtime/exec/range_loop.h"

namespace triga {

// Native work on the indices 0 to n - 1 that any number of threads share: the thread that wants it done, and
// helpers, either threads of the cache or workers of an executor.
class native_loop : public native_work {
 public:
  native_loop(std::uint64_t n, std::uint64_t chunk) noexcept : indices_(n, chunk) {}

  // Takes part until no index is left: a helper's way.
  void run() noexcept final;
  PyObject* outcome() final { return Py_NewRef(Py_None); }

  // Takes part with so many helpers until all is done, with the GIL let go but for a moment every 50 ms, when
  // Python's signal handlers run and tick(how many indices are done) is called, if it is not None. `threads`
  // says how many take part in all. Throws what a handler or tick raised; all have left the work then.
  void run_with(unsigned helpers, unsigned threads, const pybind11::object& tick);

  // No index is begun any more; helpers leave. From any thread.
  void cancel() noexcept { indices_.stop(); }
  [[nodiscard]] bool cancelled() const noexcept { return indices_.stopped(); }

 protected:
  // One thread's part in the work: what it needs for itself. Made and used without the GIL.
  class part {
   public:
    part() = default;
    part(const part&) = delete;
    part& operator=(const part&) = delete;
    part(part&&) = delete;
    part& operator=(part&&) = delete;
    virtual ~part() = default;
    virtual void run(exec::index_range range) noexcept = 0;
  };
  // May throw std::bad_alloc.
  virtual std::unique_ptr<part> take_part() = 0;

  // For a part that takes long over one index, now and then: whether it is to be left. On the caller's
  // thread, if that is the main one, Python's signal handlers run here every 50 ms.
  bool stop_requested();

  [[nodiscard]] exec::range_loop& indices() noexcept { return indices_; }

 private:
  struct caller;
  bool work_until(part& mine, time_point end) noexcept;

  exec::range_loop indices_;
  std::atomic<std::uint64_t> done_{0};
};

}  // namespace triga
