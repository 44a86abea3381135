// SPDX-License-Identifier: MIT
// What a transport reads, and how its protocol gets it.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "bindings/py/raised.h"
#include "bindings/types/stream_transport.h"

namespace triga::transports {
namespace {

// From this size on a read is worth asking the kernel first how much there is (a fraction of a microsecond),
// so that it can go straight into the bytes object: copying it out of the shared memory would cost more.
constexpr std::size_t large_read = 32 * 1024;
// From this size on it is worth a guess: as much as the last time.
constexpr std::size_t medium_read = 4 * 1024;

}  // namespace

// The GIL is kept during recv(2) and sendmsg(2): the descriptor does not block, so they take as long as the
// copy of at most 256 KB, and giving the GIL away and fetching it again costs more than a small message does.
void transport::read_once() {
  if (stream_.has_ended()) return;
  stream_.read_ready();
  release_read_memory();
}

net::receive_space transport::receive_into() {
  if (buffered_) {
    const std::span<std::byte> memory = receiver_memory();
    return {memory.empty() ? protocol_memory() : memory};
  }
  if (last_read_was_large_) {
    if (const std::span<std::byte> memory = exact_memory(); !memory.empty()) return {memory};
  }
  return last_read_ < medium_read ? net::receive_space{types_.read_memory->bytes} : expected_memory();
}

// Messages of a connection are often of one size: then nothing is left for the shared memory, and nothing has
// to be copied.
net::receive_space transport::expected_memory() {
  types_.reading.exact = py::ref::steal(PyBytes_FromStringAndSize(nullptr, last_read_));
  if (!types_.reading.exact) {
    PyErr_Clear();  // the shared memory will do
    return {types_.read_memory->bytes};
  }
  return {.first = {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(types_.reading.exact.get())), last_read_},
          .rest = types_.read_memory->bytes};
}

// As much as is there, if it is much and memory can be had.
std::span<std::byte> transport::exact_memory() {
  const std::size_t size = std::min(stream_.readable_bytes(), most_per_read);
  if (size < large_read) return {};
  types_.reading.exact = py::ref::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
  if (!types_.reading.exact) {
    PyErr_Clear();  // the shared memory will do
    return {};
  }
  return {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(types_.reading.exact.get())), size};
}

// Empty if the protocol has to be asked by its methods.
std::span<std::byte> transport::receiver_memory() {
  PyObject* const protocol = held().protocol.get();
  const native_receiver& receiver = types_.native_receiver;
  if (protocol == nullptr || reinterpret_cast<PyObject*>(Py_TYPE(protocol)) != receiver.type.get()) return {};
  const std::span<std::byte> memory = receiver.memory(protocol);
  types_.reading.natively = !memory.empty();
  return memory;
}

std::span<std::byte> transport::protocol_memory() {
  static constexpr const char* call_failed = "Fatal error: protocol.get_buffer() call failed.";
  const py::ref any_size = py::ref::steal(PyLong_FromLong(-1));
  const py::ref buffer =
      any_size ? call_method(held().protocol.get(), types_.names.get_buffer, any_size.get()) : py::ref();
  const Py_ssize_t length = buffer ? PyObject_Size(buffer.get()) : -1;
  if (length == 0) PyErr_SetString(PyExc_RuntimeError, "get_buffer() returned an empty buffer");
  if (length <= 0) {
    fatal(call_failed);
    return {};
  }
  Py_buffer view;  // as its owner may run Python code here, too
  if (PyObject_GetBuffer(buffer.get(), &view, PyBUF_WRITABLE) < 0) {
    fatal("Fatal read error on socket transport");
    return {};
  }
  types_.reading.view = view;
  return {static_cast<std::byte*>(types_.reading.view.buf),
          static_cast<std::size_t>(types_.reading.view.len)};
}

// What a buffer's owner does at its release may be Python code, beside which another loop's thread reads.
void transport::release_view() {
  Py_buffer view = std::exchange(types_.reading.view, {});
  PyBuffer_Release(&view);
}

void transport::release_read_memory() {
  types_.reading.natively = false;
  if (types_.reading.view.obj != nullptr) release_view();
  types_.reading.exact.reset();
}

py::ref transport::received_bytes(std::size_t count) {
  const auto size = static_cast<Py_ssize_t>(count);
  const auto* const shared = reinterpret_cast<const char*>(types_.read_memory->bytes.data());
  if (!types_.reading.exact) return py::ref::steal(PyBytes_FromStringAndSize(shared, size));
  const Py_ssize_t filled = std::min(PyBytes_GET_SIZE(types_.reading.exact.get()), size);
  PyObject* data = types_.reading.exact.release();
  if (PyBytes_GET_SIZE(data) != size) _PyBytes_Resize(&data, size);
  if (data != nullptr && filled < size) {
    std::copy_n(shared, size - filled, PyBytes_AS_STRING(data) + filled);
  }
  return py::ref::steal(data);
}

void transport::received(std::size_t count) {
  last_read_was_large_ = count >= large_read;
  last_read_ = count <= UINT16_MAX ? static_cast<std::uint16_t>(count) : 0;
  if (std::exchange(types_.reading.natively, false)) {
    const py::ref protocol = held().protocol;
    if (!types_.native_receiver.received(protocol.get(), count)) {
      fatal("Fatal error: protocol.buffer_updated() call failed.");
    }
    return;
  }
  if (types_.reading.view.obj != nullptr) {
    release_view();
    const py::ref size = py::ref::steal(PyLong_FromSize_t(count));
    if (!size || !call_method(held().protocol.get(), types_.names.buffer_updated, size.get())) {
      fatal("Fatal error: protocol.buffer_updated() call failed.");
    }
    return;
  }
  const py::ref data = received_bytes(count);
  if (!data) {
    fatal("Fatal read error on socket transport");
  } else if (!call_method(held().protocol.get(), types_.names.data_received, data.get())) {
    fatal("Fatal error: protocol.data_received() call failed.");
  }
}

void transport::received_eof() {
  release_read_memory();
  log_debug("%r received EOF");
  const py::ref keep_open = call_method(held().protocol.get(), types_.names.eof_received);
  if (!keep_open) {
    fatal("Fatal error: protocol.eof_received() call failed.");
    return;
  }
  const int truth = PyObject_IsTrue(keep_open.get());
  if (truth == 1) {
    // The protocol may go on writing; nothing more can be received.
    (void)stream_.stop_reading();
  } else if (truth == 0) {
    (void)close();
  }
}

void transport::read_failed(int error) {
  release_read_memory();
  errno = error;
  PyErr_SetFromErrno(PyExc_OSError);
  fatal("Fatal read error on socket transport");
}

bool transport::start_reading() {
  if (stream_.is_closing() || paused_) return true;
  if (!choose_read_context()) return false;
  if (const int error = stream_.start_reading(); error != 0) {
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
  }
  settle_keeping();
  return true;
}

// The descriptor stays registered until something arrives: who pauses mostly resumes before that, or before
// the loop comes to it, and neither then takes a system call.
bool transport::pause_reading() {
  if (stream_.is_closing() || paused_) return true;
  paused_ = true;
  settle_keeping();
  log_debug("%r pauses reading");
  return PyErr_Occurred() == nullptr;
}

void transport::leave_descriptor() {
  (void)stream_.stop_reading();
  settle_keeping();
}

bool transport::resume_reading() {
  if (stream_.is_closing() || !paused_) return true;
  paused_ = false;
  if (!start_reading()) return false;
  log_debug("%r resumes reading");
  return PyErr_Occurred() == nullptr;
}

bool transport::set_protocol(PyObject* new_protocol) {
  const int buffered = PyObject_IsInstance(new_protocol, types_.buffered_protocol.get());
  if (buffered < 0) return false;
  buffered_ = buffered == 1;
  held().protocol = py::ref::borrow(new_protocol);
  protocol_connected_ = true;
  return true;
}

}  // namespace triga::transports
