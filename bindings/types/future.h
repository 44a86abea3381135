// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "runtime/base/clock.h"
#include "runtime/exec/future_state.h"
#include "runtime/exec/task.h"

namespace triga {

struct module_state;
struct future_object;
struct completion_link;
struct call_extras;

// The call that a future is the outcome of, while it waits in a queue: function, positional and keyword
// arguments as a vectorcall takes them. Part of the future object, so that a submit makes one object only.
//
// The queue that holds the task owns a reference to the future.
class future_call final : public exec::task {
 public:
  future_call() noexcept = default;
  ~future_call() override { drop_extras(); }
  future_call(const future_call&) = delete;
  future_call& operator=(const future_call&) = delete;
  future_call(future_call&&) = delete;
  future_call& operator=(future_call&&) = delete;

  // Takes references to everything. False: no memory, with MemoryError set.
  bool set(PyObject* function, PyObject* const* args, std::size_t positional, PyObject* names);
  // Calls it, and drops what it was called with. nullptr: an exception is set.
  PyObject* invoke();
  void clear() noexcept;
  int visit(visitproc visit_one, void* argument) const;

  [[nodiscard]] PyObject* function() const noexcept { return function_; }
  // (args, kwargs) as new references, for those who want to see a queued call.
  [[nodiscard]] PyObject* args_tuple() const;
  [[nodiscard]] PyObject* kwargs_dict() const;

  // On a worker, with the GIL: runs the call, completes the future and drops the queue's reference to it.
  void run() override;

  // The same without extras, and without dropping that reference. False: an exception is set that is nobody's
  // outcome.
  bool run_plain(future_object* future);

  // Before the call is queued. Owned by the call from now on.
  void give_extras(std::unique_ptr<call_extras> extras) noexcept;

 private:
  void drop_extras() noexcept;

  static constexpr std::size_t inline_arguments = 2;

  [[nodiscard]] std::size_t total() const noexcept;
  [[nodiscard]] PyObject** slots() noexcept { return many_ != nullptr ? many_ : few_; }
  [[nodiscard]] PyObject* const* slots() const noexcept { return many_ != nullptr ? many_ : few_; }

  PyObject* function_ = nullptr;
  PyObject* names_ = nullptr;  // tuple of keyword names, or nullptr
  std::size_t positional_ = 0;
  PyObject** many_ = nullptr;  // when there are more than inline_arguments
  // The first slot stays free for PY_VECTORCALL_ARGUMENTS_OFFSET: a bound method needs no copy of the rest.
  PyObject* few_[1 + inline_arguments] = {};
};

// concurrent.futures.Future. Every member is guarded by the GIL, except that the state may be read and slept
// on without it.
//
// `condition` and `waiters` exist once somebody has asked for them (the standard library's own wait() and
// as_completed() do): from then on the future is completed under that condition, as the standard library does
// it.
struct future_object {
  PyObject_HEAD exec::future_state state;
  PyObject* result;
  PyObject* exception;
  PyObject* callbacks;  // a list, or nullptr
  PyObject* condition;
  PyObject* waiters;
  completion_link* links;  // native waiters
  PyObject* weak_references;
  future_call call;
};

// The future whose call a task is. By number, since a pointer to a member may not be led back to the whole.
inline future_object* owner_of(exec::task& task) noexcept {
  const auto call = reinterpret_cast<std::uintptr_t>(static_cast<future_call*>(&task));
  return reinterpret_cast<future_object*>(call - offsetof(future_object, call));
}

inline future_object* as_future(PyObject* object) noexcept {
  return reinterpret_cast<future_object*>(object);
}

// A new pending future, or nullptr with an exception set.
future_object* future_new(module_state& state);

// Completes the future: exactly one of `result` and `exception` is given, borrowed. False, with an exception
// set: InvalidStateError, or what a waiter or a callback raised.
bool future_complete(future_object* self, PyObject* result, PyObject* exception);

// As Future.set_running_or_notify_cancel(): 1 to run, 0 if it was cancelled, -1 with an exception set.
int future_start(future_object* self);

// As Future.cancel(): 1, 0, or -1 with an exception set.
int future_cancel(future_object* self);

// Waits, without the GIL, until the future is done or the deadline has passed. -1 with an exception set if a
// signal handler raised one, else whether it is done.
int future_wait(future_object* self, time_point deadline);

// The deadline that an optional `timeout` argument means; nothing with an exception set.
std::optional<time_point> deadline_of(PyObject* timeout);

// Raises concurrent.futures.<name>, if `message` is given with it.
void raise_futures_error(const char* name, PyObject* message);

// PENDING, RUNNING, CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED
const char* progress_name(exec::progress value) noexcept;

void add_future_type(PyObject* module);

extern PyMethodDef future_methods[];
extern PyGetSetDef future_getset[];
PyObject* future_repr(PyObject* self);

}  // namespace triga
