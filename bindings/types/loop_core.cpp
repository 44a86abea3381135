// SPDX-License-Identifier: MIT
#include <utility>

#include "bindings/types/loop.h"
#include "runtime/base/clock.h"

namespace triga::loops {
namespace {

// How many polls in a row may keep the GIL, of which a loop with nothing but callbacks makes one in 16 turns.
// To give it up and take it back is no small part of a short turn, and the contexts that are at hand go with
// it; a thread that waits for the GIL is let in by the interpreter after its switch interval, or here.
constexpr unsigned most_polls_with_gil = 64;

PyObject* object(void* callback) noexcept { return static_cast<PyObject*>(callback); }

}  // namespace

void core::settle_handed_out() {
  PyObject* handle = std::exchange(handed_out_, nullptr);
  if (handle != nullptr && Py_REFCNT(handle) > 1) handles::track(handle);
}

void core::settle_or_unwrap() {
  if (fields(self_).debug != 0 || !handles::can_unwrap(types_.handles, handed_out_)) {
    settle_handed_out();
    return;
  }
  PyObject* const handle = std::exchange(handed_out_, nullptr);
  loop_.replace(handed_out_place_, handles::unwrap(types_.handles, handle).packed());
}

descriptor_watch* core::find_watch(int fd) noexcept {
  const auto at = static_cast<std::size_t>(fd);
  return fd >= 0 && at < watches_.size() ? watches_[at].get() : nullptr;
}

descriptor_watch& core::watch(int fd) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= watches_.size()) watches_.resize(at + 1);
  if (!watches_[at]) watches_[at] = std::make_unique<descriptor_watch>(*this, fd);
  return *watches_[at];
}

void core::close() {
  signals_.detach();
  loop_.close();
  for (std::size_t at = 0; at < watches_.size(); ++at) {
    if (!watches_[at]) continue;
    watches_[at]->reader.reset();
    watches_[at]->writer.reset();
    watches_[at]->file.reset();
    watches_[at]->socket.reset();
  }
  transports_.let_go_of_all();
}

int core::traverse(visitproc visit, void* arg) const {
  for (const auto& each : watches_) {
    if (!each) continue;
    Py_VISIT(each->reader.get());
    Py_VISIT(each->writer.get());
    Py_VISIT(each->file.get());
  }
  if (const int stop = transports_.traverse(visit, arg); stop != 0) return stop;
  return loop_.visit([&](const loop::foreign_callback& each) {
    if (each.context == nullptr) return handles::visit(types_.handles, object(each.target), visit, arg);
    const handles::bare_callback bare(each);
    for (PyObject* held : {bare.callback, bare.argument, bare.context}) Py_VISIT(held);
    return 0;
  });
}

// The GIL is let go while the thread is in the kernel: the poller touches no Python object there, and
// whatever other threads queue meanwhile they queue under the GIL and follow by wake().
void core::before_block(bool waits) {
  settle_handed_out();
  if (!waits && ++polls_with_gil_ < most_polls_with_gil) return;
  polls_with_gil_ = 0;
  types_.handles.contexts.forget();
  released_ = PyEval_SaveThread();
}

void core::after_block() {
  if (released_ != nullptr) PyEval_RestoreThread(std::exchange(released_, nullptr));
}

bool core::on_interrupt() { return PyErr_CheckSignals() == 0; }

void core::on_due(void* timer) {
  Py_XSETREF(handles::slot(object(timer), types_.handles.slots.scheduled), Py_NewRef(Py_False));
}

void core::add_timer(time_point when, PyObject* handle) {
  handles::own(types_.handles, handle).ticket = loop_.add_timer(when, handle);
}

void core::cancel_timer(PyObject* handle) {
  if (handles::slot(handle, types_.handles.slots.scheduled) != Py_True) return;
  drop({.target = loop_.cancel_timer(handles::own(types_.handles, handle).ticket)});
}

void core::drop(const loop::foreign_callback& callback) {
  if (callback.context != nullptr) {
    const handles::bare_callback bare(callback);
    for (PyObject* held : {bare.callback, bare.argument, bare.context}) Py_XDECREF(held);
    return;
  }
  if (callback.target == handed_out_) handed_out_ = nullptr;
  const py::ref handle = py::ref::steal(object(callback.target));
  if (Py_IS_TYPE(handle.get(), types_.handles.timer.type())) on_due(callback.target);
  if (Py_REFCNT(handle.get()) > 1) handles::track(handle.get());
}

bool core::run_callback(const loop::foreign_callback& callback) {
  if (callback.context != nullptr) {
    return handles::run_bare(types_.handles, self_, handles::bare_callback(callback));
  }
  PyObject* const queued = object(callback.target);
  if (queued == handed_out_) handed_out_ = nullptr;
  if (fields(self_).debug == 0 && handles::is_queues_alone(types_.handles, queued)) {
    return handles::run_queues_alone(types_.handles, self_, queued);
  }
  return run_handle(queued);
}

bool core::run_handle(PyObject* queued) {
  const py::ref handle = py::ref::steal(queued);
  if (!handles::is_native(types_.handles, queued)) return run_foreign(queued);
  if (handles::is_cancelled(types_.handles, queued)) return true;
  const bool good = fields(self_).debug != 0 ? run_in_debug_mode(queued) : run(types_.handles, queued);
  if (Py_REFCNT(queued) > 1) handles::track(queued);
  return good;
}

// A handle that somebody made by hand, of a class that may be anything with asyncio.Handle's methods.
bool core::run_foreign(PyObject* handle) {
  const py::ref cancelled = py::ref::steal(PyObject_GetAttrString(handle, "_cancelled"));
  const int skipped = cancelled ? PyObject_IsTrue(cancelled.get()) : -1;
  if (skipped != 0) return skipped > 0;
  return fields(self_).debug != 0
             ? run_in_debug_mode(handle)
             : static_cast<bool>(py::ref::steal(PyObject_CallMethod(handle, "_run", nullptr)));
}

bool core::run_in_debug_mode(PyObject* handle) {
  loop_object& loop = fields(self_);
  Py_XSETREF(loop.current_handle, Py_NewRef(handle));
  const time_point begin = monotonic_clock::now();
  bool good = handles::is_native(types_.handles, handle)
                  ? run(types_.handles, handle)
                  : static_cast<bool>(py::ref::steal(PyObject_CallMethod(handle, "_run", nullptr)));
  if (good) {
    const double seconds = std::chrono::duration<double>(monotonic_clock::now() - begin).count();
    const py::ref limit = py::ref::steal(PyObject_GetAttrString(self_, "slow_callback_duration"));
    good = static_cast<bool>(limit);
    const double most = good ? PyFloat_AsDouble(limit.get()) : 0;
    if (good && PyErr_Occurred() != nullptr) good = false;
    if (good && seconds >= most) {
      good = static_cast<bool>(
          py::ref::steal(PyObject_CallFunction(types_.report_slow.get(), "Od", handle, seconds)));
    }
  }
  Py_XSETREF(loop.current_handle, Py_NewRef(Py_None));
  return good;
}

// asyncio's own method finds the handler and queues its handle, so that a handler removed meanwhile is
// noticed.
void core::on_signal(int number) {
  if (!py::ref::steal(PyObject_CallMethod(self_, "_handle_signal", "i", number))) end_turn_with_error();
}

}  // namespace triga::loops
