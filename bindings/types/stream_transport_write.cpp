// SPDX-License-Identifier: MIT
// What a transport writes: at once what the kernel takes, the rest from the stream's queue.
#include <cerrno>
#include <optional>
#include <utility>

#include "bindings/py/raised.h"
#include "bindings/types/stream_transport.h"
#include "runtime/trace/counters.h"

namespace triga::transports {
namespace {

// asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES
constexpr unsigned lost_writes_before_a_warning = 5;

constexpr std::size_t most_gathered = 16 * 1024;

#if PY_VERSION_HEX >= 0x030E0000
constexpr const char* wrong_type = "data argument must be a bytes, bytearray, or memoryview object, not %R";
#else
constexpr const char* wrong_type = "data argument must be a bytes-like object, not %R";
#endif

bool is_writable_type(PyObject* data) {
  return PyBytes_Check(data) || PyByteArray_Check(data) || PyMemoryView_Check(data);
}

void set_type_error(PyObject* data) {
  const py::ref name =
      py::ref::steal(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(data)), "__name__"));
  if (name) PyErr_Format(PyExc_TypeError, wrong_type, name.get());
}

void set_os_error(int error) {
  errno = error;
  PyErr_SetFromErrno(PyExc_OSError);
}

// The export of an object's memory, for as long as it is looked at.
class [[nodiscard]] exported {
 public:
  explicit exported(PyObject* object) : good_(PyObject_GetBuffer(object, &view_, PyBUF_SIMPLE) == 0) {}
  exported(const exported&) = delete;
  exported& operator=(const exported&) = delete;
  exported(exported&&) = delete;
  exported& operator=(exported&&) = delete;
  ~exported() {
    if (good_) PyBuffer_Release(&view_);
  }
  explicit operator bool() const noexcept { return good_; }
  [[nodiscard]] const void* start() const noexcept { return view_.buf; }
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(view_.len); }

 private:
  Py_buffer view_{};
  bool good_;
};

}  // namespace

bool transport::may_write(const char* after_eof, const char* during_sendfile) {
  // In a forked child the parent's peer would be sent what the child meant for nobody, or half of it.
  if (core_ != nullptr && !loops::check_process(core_->self())) return false;
  const char* refusal = stream_.writing_shut_down()                   ? after_eof
                        : find(&seldom_held::empty_waiter) != nullptr ? during_sendfile
                                                                      : nullptr;
  if (refusal == nullptr) return true;
  PyErr_SetString(PyExc_RuntimeError, refusal);
  return false;
}

bool transport::note_lost_write() {
  const bool warn = lost_writes_ >= lost_writes_before_a_warning;
  ++lost_writes_;
  return !warn || call_method(self(), types_.names.warn_of_lost_writes);
}

bool transport::write(PyObject* data) {
  const bool plain = PyBytes_CheckExact(data);
  if (!plain && !is_writable_type(data)) {
    set_type_error(data);
    return false;
  }
  if (!may_write("Cannot call write() after write_eof()", "unable to write; sendfile is in progress")) {
    return false;
  }
  if (plain)
    return send_or_queue(data, PyBytes_AS_STRING(data), static_cast<std::size_t>(PyBytes_GET_SIZE(data)));
  const int full = PyObject_IsTrue(data);
  if (full <= 0) return full == 0;
  const exported memory(data);
  if (memory) return send_or_queue(nullptr, memory.start(), memory.size());
  // A memoryview that is not contiguous: asyncio meets this when it sends.
  fatal("Fatal write error on socket transport");
  return PyErr_Occurred() == nullptr;
}

// Sending is most of what a small answer costs, above all as it wakes the peer. So on a loop with much to do
// writes are gathered for the end of its turn: those of one connection make one sendmsg(2), and a peer that
// serves many connections is woken once. A large write has nothing to gain by it.
bool transport::may_gather(std::size_t size) const noexcept {
  return size <= most_gathered && size <= stream_.high_water() && core_ != nullptr && core_->loop().is_busy();
}

// What was queued is left for the end of the turn, unless it has become too much.
bool transport::gather() {
  if (!gathers_) {
    if (!choose_write_context()) return false;
    gathers_ = true;
    if (!std::exchange(awaits_turn_end_, true)) core_->loop().post_to_turn_end(*this);
    if (!kept_) settle_keeping();
  }
  trace::count(trace::counter::writes_gathered);
  const std::size_t queued = stream_.queued_bytes();
  return (queued <= most_gathered && queued <= stream_.high_water()) || send_gathered();
}

bool transport::send_gathered() {
  if (!std::exchange(gathers_, false)) return true;
  const py::ref alive = py::ref::borrow(self());
  send_queue(true);
  settle_keeping();
  return PyErr_Occurred() == nullptr;
}

// A writer's context is a snapshot that others may share and nobody enters, as those of call_soon() are.
bool transport::choose_write_context() {
  drop_write_context();
  if (!context_ && core_ != nullptr) write_context_ = core_->handles().contexts.snapshot();
  shares_write_context_ = static_cast<bool>(write_context_);
  return shares_write_context_ || copy_context_into(write_context_);
}

// Who is told of what was sent is told in the context of the write. Mostly nobody is, and then none is made.
void transport::send_queue(bool others) {
  const std::optional<net::send_outcome> sent = stream_.send_share(others);
  const bool tells = sent ? stream_.has_to_tell(*sent) || find(&seldom_held::empty_waiter) != nullptr
                          : stream_.queued_bytes() != 0;
  if (tells) {
    if (shares_write_context_) {
      shares_write_context_ = false;
      write_context_ = py::ref::steal(PyContext_Copy(write_context_.get()));
      if (!write_context_) PyErr_Clear();  // no memory: told in the current one
    }
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): who is told may write, and so replace it
    const py::ref entered = write_context_;
    in_context(entered.get(), [this, &sent] {
      if (sent) stream_.tell(*sent);
      if (PyErr_Occurred() == nullptr) (void)watch_writable();
    });
  }
  // What is queued needs it for a flush() that is still to come.
  if (stream_.queued_bytes() == 0) drop_write_context();
}

void transport::drop_write_context() noexcept {
  shares_write_context_ = false;
  write_context_.reset();
}

// With what ends the turn put aside: the data must leave all the same.
void transport::end_turn() {
  const py::ref alive = py::ref::borrow(self());
  awaits_turn_end_ = false;
  py::ref before = py::take_raised();
  if (gathers_) {
    (void)send_gathered();
  } else {
    settle_keeping();
  }
  if (before) py::raise_again(std::move(before));
}

// `data` is the immutable owner of the memory; null if it has none that may be kept.
bool transport::send_or_queue(PyObject* data, const void* start, std::size_t size) {
  if (size == 0) return true;
  // Memory that would have to be copied, and much of it, goes by itself.
  if (data == nullptr && size > most_gathered && !send_gathered()) return false;
  if (stream_.has_ended()) return note_lost_write();
  if (gathers_ || (stream_.queued_bytes() == 0 && may_gather(size))) {
    return queue_rest(data, start, size) && gather();
  }
  if (stream_.queued_bytes() == 0) {
    const net::send_outcome sent = stream_.try_send(start, size);
    if (sent.error != 0) {
      set_os_error(sent.error);
      fatal("Fatal write error on socket transport");
      return PyErr_Occurred() == nullptr;
    }
    if (sent.bytes == size) return true;
    start = static_cast<const std::byte*>(start) + sent.bytes;
    size -= sent.bytes;
  }
  return queue_rest(data, start, size) && watch_writable();
}

// An immutable owner is kept alive; other memory may change or go, so its rest is copied.
bool transport::queue_rest(PyObject* data, const void* start, std::size_t size) {
  if (data != nullptr) {
    stream_.enqueue(start, size, Py_NewRef(data));
    return true;
  }
  PyObject* copy = PyBytes_FromStringAndSize(static_cast<const char*>(start), static_cast<Py_ssize_t>(size));
  if (copy == nullptr) return false;
  stream_.enqueue(PyBytes_AS_STRING(copy), size, copy);
  return true;
}

bool transport::watch_writable() {
  if (stream_.queued_bytes() == 0) return true;
  if (!stream_.watches_writing()) {
    if ((!sends_next_turn_ || !write_context_) && !choose_write_context()) return false;
    if (stream_.waits_for_its_share()) send_next_turn();
  }
  if (const int error = stream_.watch_writable(); error != 0) {
    set_os_error(error);
    return false;
  }
  settle_keeping();
  return PyErr_Occurred() == nullptr;
}

void transport::send_next_turn() {
  sends_next_turn_ = true;
  if (posted_ || core_ == nullptr) return;
  posted_ = true;
  core_->loop().post(*this);
}

// What was left for the next turn goes now, as far as the kernel takes it: there may be none, and whoever
// wrote it counts on the kernel having it.
void transport::send_held_back() {
  if (!sends_next_turn_) return;
  stream_.send_unheard();
  PyObject* const waiter = stream_.queued_bytes() == 0 ? find(&seldom_held::empty_waiter) : nullptr;
  if (waiter != nullptr) drained();
}

bool transport::hold_nothing_back() {
  if (!send_gathered()) return false;
  send_held_back();
  return true;
}

bool transport::queue_piece(PyObject* piece) {
  const py::ref view = py::ref::steal(PyMemoryView_FromObject(piece));  // for its error message
  if (!view) return false;
  const exported memory(piece);
  if (!memory) return false;
  return queue_rest(PyBytes_CheckExact(piece) ? piece : nullptr, memory.start(), memory.size());
}

bool transport::writelines(PyObject* pieces) {
#if PY_VERSION_HEX < 0x030C0000
  // 3.11 joins and writes.
  const py::ref joined = call_method(types_.empty_bytes.get(), types_.names.join, pieces);
  return joined && write(joined.get());
#else
  if (!may_write("Cannot call writelines() after write_eof()",
                 "unable to writelines; sendfile is in progress")) {
    return false;
  }
  const int any = PyObject_IsTrue(pieces);
  if (any <= 0) return any == 0;
  if (stream_.has_ended()) return note_lost_write();
  const py::ref iterator = py::ref::steal(PyObject_GetIter(pieces));
  if (!iterator) return false;
  const bool is_first = stream_.queued_bytes() == 0;
  while (const py::ref piece = py::ref::steal(PyIter_Next(iterator.get()))) {
    if (!queue_piece(piece.get())) return false;
  }
  if (PyErr_Occurred() != nullptr) return false;
  if (gathers_ || (is_first && may_gather(stream_.queued_bytes()))) return gather();
  const py::ref alive = py::ref::borrow(self());
  stream_.flush();
  settle_keeping();
  return PyErr_Occurred() == nullptr && watch_writable();
#endif
}

bool transport::write_eof() {
  if (!hold_nothing_back()) return false;
  if (const int error = stream_.shut_down_writing(); error != 0) {
    set_os_error(error);
    return false;
  }
  return true;
}

void transport::pause_writing() {
  if (!call_method(held().protocol.get(), types_.names.pause_writing)) {
    flow_control_failed("protocol.pause_writing() failed");
  }
}

void transport::resume_writing() {
  if (!call_method(held().protocol.get(), types_.names.resume_writing)) {
    flow_control_failed("protocol.resume_writing() failed");
  }
}

void transport::write_failed(int error) {
  set_os_error(error);
  const py::ref raised = py::take_raised();
  py::raise_again(raised);
  fatal("Fatal write error on socket transport");
  PyObject* const waiter = find(&seldom_held::empty_waiter);
  if (waiter != nullptr && PyErr_Occurred() == nullptr) {
    (void)call_method(waiter, types_.names.set_exception, raised.get());
  }
}

// The stream calls these one after another, and a protocol called before may have raised what must propagate:
// it is put aside, so that the transport still ends as it should.
void transport::drained() {
  PyObject* const waiter = find(&seldom_held::empty_waiter);
  if (waiter == nullptr) return;
  py::ref before = py::take_raised();
  (void)call_method(waiter, types_.names.set_result, Py_None);
  if (before) py::raise_again(std::move(before));
}

void transport::half_close_failed(int error) {
  if (PyErr_Occurred() == nullptr) set_os_error(error);
}

bool transport::set_water_mark(py::ref seldom_held::* mark, PyObject* value) {
  if (!send_gathered()) return false;
  seldom().*mark = py::ref::borrow(value);
  const auto bytes = [](const py::ref& limit, std::size_t otherwise) {
    if (!limit) return otherwise;
    const py::ref whole = py::ref::steal(PyNumber_Long(limit.get()));
    const std::size_t size = whole ? PyLong_AsSize_t(whole.get()) : SIZE_MAX;
    PyErr_Clear();  // beyond any size (or infinite): as good as no limit
    return size;
  };
  constexpr std::size_t high = net::stream::default_high_water;
  stream_.set_water_marks(bytes(seldom().high_water, high), bytes(seldom().low_water, high / 4));
  return true;
}

}  // namespace triga::transports
