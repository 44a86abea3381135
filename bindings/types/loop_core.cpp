// SPDX-License-Identifier: MIT
#include <utility>

#include "bindings/types/loop.h"
#include "runtime/base/clock.h"

namespace triga::loops {
namespace {

// How many polls in a row may keep the GIL. A poll that does not wait takes 0.1 us, and giving the GIL up and
// taking it back 0.05; a thread that waits for the GIL is let in by the interpreter after its switch
// interval, or here.
constexpr unsigned most_polls_with_gil = 16;

PyObject* object(void* callback) noexcept { return static_cast<PyObject*>(callback); }

}  // namespace

void core::settle_handed_out() {
  PyObject* handle = std::exchange(handed_out_, nullptr);
  if (handle != nullptr && Py_REFCNT(handle) > 1) handles::track(handle);
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
  }
}

int core::traverse(visitproc visit, void* arg) const {
  for (const auto& each : watches_) {
    if (!each) continue;
    Py_VISIT(each->reader.get());
    Py_VISIT(each->writer.get());
  }
  return loop_.visit(
      [&](void* handle) { return handles::visit(types_.handles, object(handle), visit, arg); });
}

// The GIL is let go while the thread is in the kernel: the poller touches no Python object there, and
// whatever other threads queue meanwhile they queue under the GIL and follow by wake().
void core::before_block(bool waits) {
  settle_handed_out();
  if (!waits && ++polls_with_gil_ < most_polls_with_gil) return;
  polls_with_gil_ = 0;
  released_ = PyEval_SaveThread();
}

void core::after_block() {
  if (released_ != nullptr) PyEval_RestoreThread(std::exchange(released_, nullptr));
}

bool core::on_interrupt() { return PyErr_CheckSignals() == 0; }

bool core::is_cancelled(void* timer) const { return handles::is_cancelled(types_.handles, object(timer)); }

void core::on_due(void* timer) {
  Py_XSETREF(handles::slot(object(timer), types_.handles.slots.scheduled), Py_NewRef(Py_False));
}

void core::drop(void* callback) {
  if (callback == handed_out_) handed_out_ = nullptr;
  const py::ref handle = py::ref::steal(object(callback));
  if (Py_IS_TYPE(handle.get(), types_.handles.timer.type())) on_due(callback);
  if (Py_REFCNT(handle.get()) > 1) handles::track(handle.get());
}

bool core::run_callback(void* callback) {
  if (callback == handed_out_) handed_out_ = nullptr;
  const py::ref handle = py::ref::steal(object(callback));
  if (!handles::is_native(types_.handles, handle.get())) {
    const py::ref cancelled = py::ref::steal(PyObject_GetAttrString(handle.get(), "_cancelled"));
    if (!cancelled) return false;
    if (PyObject_IsTrue(cancelled.get()) != 0) return true;
  } else if (is_cancelled(callback)) {
    return true;
  }
  const bool good =
      fields(self_).debug != 0 ? run_in_debug_mode(handle.get()) : run(types_.handles, handle.get());
  if (Py_REFCNT(handle.get()) > 1) handles::track(handle.get());
  return good;
}

bool core::run_in_debug_mode(PyObject* handle) {
  loop_object& loop = fields(self_);
  Py_XSETREF(loop.current_handle, Py_NewRef(handle));
  const time_point begin = monotonic_clock::now();
  bool good = run(types_.handles, handle);
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
