// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bindings/py/ref.h"
#include "bindings/types/bare_callback.h"
#include "bindings/types/handle.h"
#include "bindings/types/transport_table.h"
#include "runtime/base/fork_generation.h"
#include "runtime/loop/event_loop.h"
#include "runtime/loop/signals.h"

// triga._core.LoopBase: the native half of triga's event loop. The whole loop is the Python class
// triga._loop.event_loop makes, which derives from this type and then from asyncio's selector loop: what is
// here replaces what asyncio runs while the loop works, the rest is inherited.
namespace triga::loops {

class core;

// Who waits for one descriptor to become readable or writable: a handle that add_reader() or add_writer()
// made, or a socket operation (socket_operation.h).
//
// A handle wants to be told in every turn in which the descriptor is ready. An operation is told once, has
// tried its system call before, and is soon followed by another of the same socket: as long as only
// operations wait here, the registration is edge-triggered and stays when they are done, with `socket` to
// tell whether it still is that socket's. A descriptor that was closed has left the epoll, and its number may
// be another socket's by now.
struct descriptor_watch final : io::watcher, loop::ready_task {
  explicit descriptor_watch(core& loop_core, int number) noexcept : owner(loop_core), fd(number) {}
  void on_ready(std::uint32_t events) override;
  void run() override;  // tells the operations

  core& owner;
  int fd;
  py::ref reader;
  py::ref writer;
  py::ref file;            // what it was added as, where that was no number: kept, as asyncio's selector does
  py::ref socket;          // a weak reference
  std::uint32_t kept = 0;  // what stays registered when no operation waits
  std::uint32_t to_tell = 0;      // EPOLLIN, EPOLLOUT: which operations run() tells
  std::size_t last_received = 0;  // by sock_recv()
  bool posted = false;
};

struct state {
  py::ref base;          // the type LoopBase
  py::ref native_class;  // the Python class on it: an instance of exactly this has no overridden method
  // asyncio.futures and asyncio.tasks, whose Future and Task are looked up at each use: tests put others
  // there.
  py::ref futures;
  py::ref tasks;
  py::ref future_name;  // interned
  py::ref task_name;
  py::ref stock_create_task;  // BaseEventLoop.create_task, for what the fast path leaves alone
  py::ref context_name;       // "context", interned
  py::ref time_name;          // "time", interned
  py::ref task_keywords;      // those that create_task() passes on to the task, a tuple of interned names
  py::ref future_link;        // the type of what ties an asyncio future to a native concurrent one
  py::ref asyncio_names;      // see asyncio_calls.h
  py::ref report_slow;        // triga._loop.reports.callback_was_slow
  py::ref operation;          // the type of socket operations
  handles::state handles;

  int traverse(visitproc visit_one, void* argument) const;
  void clear();
};

// The C++ half of one loop object: what its event_loop asks of Python. All of it is used under the GIL.
class core final : public loop::loop_client, public loop::signal_listener {
 public:
  core(PyObject* self, state& types)
      : self_(self), types_(types), loop_(*this), signals_(loop_.poller(), *this) {}
  core(const core&) = delete;
  core& operator=(const core&) = delete;
  core(core&&) = delete;
  core& operator=(core&&) = delete;
  ~core() { loop_.clear(); }

  [[nodiscard]] PyObject* self() const noexcept { return self_; }
  [[nodiscard]] state& types() noexcept { return types_; }
  [[nodiscard]] handles::state& handles() noexcept { return types_.handles; }
  [[nodiscard]] loop::event_loop& loop() noexcept { return loop_; }
  [[nodiscard]] io::poller& poller() noexcept { return loop_.poller(); }
  [[nodiscard]] loop::signal_source& signals() noexcept { return signals_; }
  [[nodiscard]] transport_table& transports() noexcept { return transports_; }

  // Queues a handle of any kind; takes the reference over.
  std::size_t queue(PyObject* handle) { return loop_.call_soon(handle); }
  // Puts a timer handle on the heap; takes the reference over.
  void add_timer(time_point when, PyObject* handle);
  // Takes a timer handle off the heap, if it is on it.
  void cancel_timer(PyObject* handle);
  // Remembers the handle that a scheduling method hands out, and its place in the queue (a timer has none):
  // if it is still held at the next such call, the garbage collector is told of it.
  void hand_out(PyObject* handle, std::size_t place = 0) {
    if (handed_out_ != nullptr) settle_handed_out();
    handed_out_ = handle;
    handed_out_place_ = place;
  }
  void settle_handed_out();
  // The same before another handle is made, if nobody holds the last one any more: its callback stays queued
  // without it, and its memory serves the next. So a burst of callbacks needs memory for one handle.
  void settle_or_unwrap_handed_out() {
    if (handed_out_ != nullptr) settle_or_unwrap();
  }

  // The watch of a descriptor, or null; watch() makes it if needed.
  [[nodiscard]] descriptor_watch* find_watch(int fd) noexcept;
  descriptor_watch& watch(int fd);
  [[nodiscard]] std::size_t watch_numbers() const noexcept {
    return watches_.size();
  }  // above every descriptor's

  // Has a socket operation told, once, when fd is ready. Whoever waited on that side waits no more, as with
  // add_reader(). `certainly`: the kernel is to look at the descriptor now, as the operation has not tried
  // it. False: an exception is set.
  bool arm(int fd, bool as_writer, PyObject* sock, PyObject* operation, bool certainly);
  void disarm(int fd, bool as_writer, PyObject* operation);
  // A transport takes over fd: what was kept for its socket goes.
  void forget_socket(int fd);
  [[nodiscard]] bool is_operation(PyObject* waiter) const noexcept {
    return reinterpret_cast<PyObject*>(Py_TYPE(waiter)) == types_.operation.get();
  }

  // For a native watcher or ready_task that leaves an exception set (KeyboardInterrupt, SystemExit): the turn
  // ends and run_forever() raises it; undispatched events stay for the next run.
  void end_turn_with_error() noexcept { loop_.poller().stop_dispatch(); }

  // Drops every callback, timer, reader and writer, closes the loop's descriptors and lets go of its
  // transports. May be called twice.
  void close();
  int traverse(visitproc visit_one, void* argument) const;

  // loop_client and signal_listener
  void before_block(bool waits) override;
  void after_block() override;
  bool on_interrupt() override;
  bool run_callback(const loop::foreign_callback& callback) override;
  bool good() const override { return PyErr_Occurred() == nullptr; }
  void drop(const loop::foreign_callback& callback) override;
  void on_due(void* timer) override;
  std::optional<time_point> replaced_clock() override;  // loop_clock.cpp
  void on_signal(int number) override;

 private:
  void settle_or_unwrap();
  bool run_handle(PyObject* handle);
  bool run_foreign(PyObject* handle);
  bool run_in_debug_mode(PyObject* handle);

  PyObject* self_;  // the loop object, which owns this
  state& types_;
  loop::event_loop loop_;
  loop::signal_source signals_;
  std::vector<std::unique_ptr<descriptor_watch>> watches_;  // by descriptor
  transport_table transports_;      // behind what a transport that goes takes itself off
  PyObject* handed_out_ = nullptr;  // owned by the queue or the heap; forgotten when it leaves them
  std::size_t handed_out_place_ = 0;
  PyThreadState* released_ = nullptr;
  unsigned polls_with_gil_ = 0;
};

struct loop_object {
  PyObject_HEAD core* native;  // owned
  PyObject* thread_id;  // asyncio's fields of the same names, so that its inherited methods see the truth
  PyObject* task_factory;
  PyObject* current_handle;
  PyObject* loop_keyword;         // {"loop": self}: the keywords of every Future and Task
  std::uint32_t fork_generation;  // of the process that may use it
  pid_t process;                  // that process
  char closed;
  char stopping;
  char debug;
  char clock_replaced;  // timers go by time(), which is not ours
};

[[nodiscard]] inline loop_object& fields(PyObject* self) noexcept {
  return *reinterpret_cast<loop_object*>(self);
}
[[nodiscard]] inline core& core_of(PyObject* self) noexcept { return *fields(self).native; }

[[nodiscard]] inline bool has_overrides(PyObject* self) noexcept {
  return reinterpret_cast<PyObject*>(Py_TYPE(self)) != core_of(self).types().native_class.get();
}

// The native half of `loop`, or null with a TypeError set if it is not one of triga's loops. For other rooms.
core* core_or_error(state& types, PyObject* loop);

// Raises RuntimeError if the loop is closed, or is a copy that check_process() refuses.
bool check_open(PyObject* self);
// Raises RuntimeError in a forked child if the loop was running when the process was forked: what would be
// scheduled on the child's copy would never be done. A loop that was not running becomes the child's own.
bool check_process(PyObject* self);
// The same for the loop that asyncio's part of a transport has in `_loop`; asked only where a fork was.
bool check_process_of_transport(state& types, PyObject* transport);
// The loop runs in this process from now on: the child of a fork that was made in one of its callbacks has
// returned into it, or nobody runs it elsewhere.
void adopt_process(PyObject* self) noexcept;
// In debug mode: _check_thread() and _check_callback(callback, method), as asyncio's call_soon() does. True
// elsewhere.
bool check_in_debug_mode(PyObject* self, PyObject* callback, const char* method, bool any_thread);

// Parts of LoopBase's method table, one file each; all end with a null entry.
extern PyMethodDef
    schedule_methods[];  // loop_schedule.cpp: call_soon and its kin, create_future, create_task
extern PyMethodDef descriptor_methods[];  // loop_descriptors.cpp: readers, writers, the signal descriptor
extern PyMethodDef run_methods[];         // loop_run.cpp: run_forever, stop, states
extern PyMethodDef transport_methods[];   // loop_transports.cpp: the transports by descriptor
extern PyMethodDef accept_methods[];      // loop_accept.cpp: a server's connections

}  // namespace triga::loops
