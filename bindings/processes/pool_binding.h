// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <memory>

#include "bindings/processes/answers.h"
#include "bindings/processes/call_encoder.h"
#include "runtime/proc/batch.h"
#include "runtime/proc/chunk_plan.h"
#include "runtime/proc/process_pool.h"

namespace triga {

// proc::process_pool for Python: calls and values in place of bytes. triga._core.ProcessPool.
class pool_binding {
 public:
  pool_binding(const pybind11::object& make_pickler, const pybind11::object& make_other, bool spin,
               std::uint64_t keep);

  proc::process_pool& core() noexcept { return *core_; }
  call_encoder& calls() noexcept { return calls_; }
  [[nodiscard]] const decoder& values() const noexcept { return values_; }

  pybind11::tuple prepare_worker(std::uint64_t quota);

  // Submits a call (function, rest) or (function, rest, keywords).
  void submit(const std::shared_ptr<proc::receiver>& to, std::uint64_t index, proc::task_terms terms,
              const pybind11::tuple& call);
  // Submits items[start:] in chunks as tasks index, index + 1, ..., until `most` bytes wait for workers;
  // returns the start and the index of the first chunk that was not submitted. `failed(index, exception)` is
  // told of chunks that cannot be pickled.
  pybind11::tuple submit_chunks(const std::shared_ptr<proc::receiver>& to, std::uint64_t index,
                                const proc::task_terms& terms, const pybind11::object& function,
                                const pybind11::sequence& items, const proc::chunk_plan& plan,
                                std::size_t start, std::size_t most, const pybind11::object& failed);
  void hand_over(const call_encoder::encoded& ready, const std::shared_ptr<proc::receiver>& to,
                 std::uint64_t index, proc::task_terms terms);

  const char* wait(const proc::process_pool::condition& ready, const pybind11::object& timeout,
                   bool may_repair);
  const char* serve();

  // (word, value, usage) of the task's outcome, once; None if it is not there.
  [[nodiscard]] pybind11::object take(proc::batch& from, std::uint64_t index) const;
  // The values of a complete batch without failures: each task's value is a list, and they become one list.
  [[nodiscard]] pybind11::list take_lists(proc::batch& from) const;

 private:
  std::unique_ptr<proc::process_pool> core_;
  call_encoder calls_;
  decoder values_;
};

}  // namespace triga
