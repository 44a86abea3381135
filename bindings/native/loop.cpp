// SPDX-License-Identifier: MIT
#include "bindings/native/loop.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <new>
#include <optional>
#include <utility>

#include "bindings/py/gil.h"
#include "bindings/py/ref.h"
#include "runtime/base/clock.h"
#include "runtime/exec/crew.h"

namespace triga {

namespace py11 = pybind11;

namespace {

// Helpers are summoned once the work has taken as long as it takes to wake them.
constexpr nanoseconds alone = std::chrono::microseconds(50);
constexpr nanoseconds between_ticks = std::chrono::milliseconds(50);

// Python runs signal handlers on the main thread only. It is the process's first one, unless Python is
// embedded in another: there Ctrl-C waits for the end of an index.
bool on_main_thread() noexcept { return syscall(SYS_gettid) == getpid(); }

}  // namespace

// The main thread in run_with(): who can run signal handlers in the middle of an index. No other thread may,
// for it could be unwound where it asks for the GIL, and parts are noexcept.
struct native_loop::caller {
  explicit caller(native_loop& its_loop) noexcept : loop(its_loop), outer(std::exchange(here, this)) {}
  caller(const caller&) = delete;
  caller& operator=(const caller&) = delete;
  caller(caller&&) = delete;
  caller& operator=(caller&&) = delete;
  ~caller() { here = outer; }

  static thread_local caller* here;
  native_loop& loop;
  caller* const outer;  // of a loop that a signal handler interrupted
  PyThreadState* state = PyThreadState_Get();
  time_point next_look = monotonic_clock::now() + between_ticks;
};

thread_local native_loop::caller* native_loop::caller::here = nullptr;

bool native_loop::stop_requested() {
  if (indices_.stopped()) return true;
  caller* const self = caller::here;
  if (self == nullptr || &self->loop != this || monotonic_clock::now() < self->next_look) return false;
  PyEval_RestoreThread(self->state);
  if (PyErr_CheckSignals() != 0) indices_.stop();
  // Safe: as in run_with(), which goes on with the exception that is set.
  self->state = py::let_go_of_gil();
  self->next_look = monotonic_clock::now() + between_ticks;
  return indices_.stopped();
}

void native_loop::run() noexcept {
  try {
    const std::unique_ptr<part> mine = take_part();
    work_until(*mine, never);
  } catch (const std::bad_alloc&) {
    return;  // one helper less: the others do its share
  }
}

// False: no index is left.
bool native_loop::work_until(part& mine, time_point end) noexcept {
  exec::index_range range;
  while (indices_.next(range)) {
    mine.run(range);
    // relaxed: for progress only.
    done_.fetch_add(range.end - range.begin, std::memory_order_relaxed);
    if (end != never && monotonic_clock::now() >= end) return true;
  }
  return false;
}

void native_loop::run_with(unsigned helpers, unsigned threads, const py11::object& tick) {
  indices_.expect_threads(threads);
  std::optional<caller> self;
  if (on_main_thread()) self.emplace(*this);
  // Outlives every moment without the GIL, also when this thread is unwound there: nobody is inside then.
  exec::crew crew([this] { run(); });
  std::unique_ptr<part> mine;
  bool more = true;
  bool gone = false;
  for (nanoseconds slice = alone; !gone; slice = between_ticks) {
    {
      // Safe: the caller holds a reference to the loop, and parts touch no Python object.
      const py::gil_release released;
      if (mine == nullptr) mine = take_part();
      const time_point end = monotonic_clock::now() + slice;
      if (more) more = work_until(*mine, end);
      if (more && slice == alone) crew.summon(helpers);
      if (!more) gone = crew.dismiss(end);
    }
    if (!PyErr_Occurred() && PyErr_CheckSignals() != 0) indices_.stop();
    if (!PyErr_Occurred() && !tick.is_none()) {
      const py::ref told = py::ref::steal(
          PyObject_CallFunction(tick.ptr(), "K", static_cast<unsigned long long>(done_.load())));
      if (!told) indices_.stop();
    }
    if (!PyErr_Occurred()) continue;
    {
      const py::gil_release released;  // safe as above
      crew.dismiss();
    }
    throw py11::error_already_set();
  }
}

}  // namespace triga
