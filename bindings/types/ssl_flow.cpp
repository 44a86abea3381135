// SPDX-License-Identifier: MIT
// The bytes of a TLS connection: from the transport through OpenSSL to the program, and back.
#include <algorithm>
#include <utility>

#include "bindings/py/raised.h"
#include "bindings/types/ssl_protocol.h"
#include "bindings/types/stream_transport.h"
#include "runtime/trace/counters.h"

namespace triga::tls {
namespace {

using transports::call_method;

constexpr Py_ssize_t largest_record = 16 * 1024;  // of plaintext, in TLS
// More than this is encrypted in pieces, each sent before the next: its whole ciphertext would lie in memory.
constexpr Py_ssize_t largest_write = 64 * 1024;

bool is_again(const state& types) { return PyErr_ExceptionMatches(types.again_errors.get()) != 0; }

py::ref inner_of(const state& types, const protocol_object& self) {
  return py::ref::steal(PyObject_GetAttr(self.sslobj, types.names.inner.get()));
}

// What one pass over the received records gave.
struct plaintext {
  py::ref data;      // bytes; null: none
  bool end = false;  // the peer's close_notify came

  bool append(const py::ref& bytes) {
    if (!data) {
      data = bytes;
      return true;
    }
    PyObject* joined = data.release();
    PyBytes_Concat(&joined, bytes.get());
    data = py::ref::steal(joined);
    return static_cast<bool>(data);
  }
};

// One record, as a bytes object of its own. Null without an exception: no whole record is there.
py::ref read_record(const state& types, PyObject* inner, Py_ssize_t most) {
  const py::ref size = py::ref::steal(PyLong_FromSsize_t(most));
  py::ref data = size ? call_known(types.inner_object, types.inner_read, inner, types.names.read, size.get())
                      : py::ref();
  if (!data && is_again(types)) PyErr_Clear();
  return data;
}

// The bytes object that large reads are collected in, without a copy of each record.
class collected {
 public:
  explicit collected(Py_ssize_t room) : bytes_(PyBytes_FromStringAndSize(nullptr, room)), room_(room) {}
  collected(const collected&) = delete;
  collected& operator=(const collected&) = delete;
  collected(collected&&) = delete;
  collected& operator=(collected&&) = delete;
  ~collected() { Py_XDECREF(bytes_); }

  [[nodiscard]] bool has_room() const noexcept { return bytes_ != nullptr && filled_ < room_; }
  [[nodiscard]] py::ref window() const {
    return py::ref::steal(
        PyMemoryView_FromMemory(PyBytes_AS_STRING(bytes_) + filled_, room_ - filled_, PyBUF_WRITE));
  }
  void add(Py_ssize_t count) noexcept { filled_ += count; }
  // What was collected; null if nothing was.
  [[nodiscard]] py::ref take() {
    if (filled_ == 0) return {};
    if (filled_ < room_) _PyBytes_Resize(&bytes_, filled_);
    return py::ref::steal(std::exchange(bytes_, nullptr));
  }

 private:
  PyObject* bytes_;
  Py_ssize_t room_;
  Py_ssize_t filled_ = 0;
};

// One record into `into`: how many bytes, 0 for the end, -1 if no whole record is there, -2 with an
// exception.
Py_ssize_t read_record_into(const state& types, PyObject* inner, collected& into) {
  const py::ref window = into.window();
  const py::ref size = py::ref::steal(PyLong_FromSsize_t(largest_record));
  if (!window || !size) return -2;
  const py::ref count =
      call_known(types.inner_object, types.inner_read, inner, types.names.read, size.get(), window.get());
  if (count) return PyLong_AsSsize_t(count.get());
  if (!is_again(types)) return -2;
  PyErr_Clear();
  return -1;
}

// A read that finds no whole record raises an exception, whose making costs more than a small message: none
// is tried when nothing is left.
bool read_few(const state& types, const protocol_object& self, PyObject* inner, Py_ssize_t there,
              plaintext& result) {
  for (;;) {
    const Py_ssize_t most = there > 0 ? std::min(there, largest_record) : largest_record;
    const py::ref data = read_record(types, inner, most);
    if (!data) return PyErr_Occurred() == nullptr;
    const Py_ssize_t size = PyObject_Size(data.get());
    result.end = size == 0;
    if (result.end) return true;
    if (size < 0 || !result.append(data)) return false;
    there = pending_bytes(types, self.incoming);
    if (there < 0) return false;
    if (there == 0 && size < most) return true;
  }
}

// Many records. Plaintext is shorter than its record, so that what is there fits; OpenSSL may hold more, of a
// record that a buffered protocol took a part of.
bool read_many(const state& types, const protocol_object& self, PyObject* inner, Py_ssize_t there,
               plaintext& result) {
  collected into(there);
  Py_ssize_t count = -1;
  while (into.has_room() && (count = read_record_into(types, inner, into)) > 0) into.add(count);
  if (count == -2 || PyErr_Occurred() != nullptr) return false;
  result.end = count == 0;
  result.data = into.take();
  if (PyErr_Occurred() != nullptr) return false;
  return count <= 0 || read_few(types, self, inner, 0, result);
}

bool deliver(state& types, PyObject* self, const plaintext& read) {
  if (read.data) {
    trace::count(trace::counter::tls_bytes_read,
                 static_cast<std::uint64_t>(PyBytes_GET_SIZE(read.data.get())));
    const py::ref protocol = py::ref::borrow(protocol_of(self).app_protocol);
    if (!call_method(protocol.get(), types.names.data_received, read.data.get())) return false;
  }
  if (!read.end) return true;
  return call_method(self, types.names.call_eof_received) && call_method(self, types.names.start_shutdown);
}

bool control_ssl_reading(state& types, PyObject* self) {
  const protocol_object& fields = protocol_of(self);
  const Py_ssize_t size = pending_bytes(types, fields.incoming);
  if (size < 0) return false;
  const bool settled =
      fields.ssl_reading_paused != 0 ? size > fields.incoming_low : size < fields.incoming_high;
  return settled || call_method(self, types.names.control_ssl_reading);
}

// May the native methods be called without looking them up?
bool may_call(state& types, PyObject* self) {
  return is_as_made(types, self) && has_plain_objects(types, protocol_of(self));
}

bool read_and_answer(state& types, PyObject* self) {
  protocol_object& fields = protocol_of(self);
  if (fields.app_reading_paused == 0) {
    const bool copies = fields.app_is_buffered == 0;
    const bool read = copies && may_call(types, self)
                          ? read_copied(types, self)
                          : static_cast<bool>(call_method(
                                self, copies ? types.names.do_read_copied : types.names.do_read_buffered));
    if (!read) return false;
    const Py_ssize_t waiting = PyObject_Size(fields.write_backlog);
    if (waiting < 0) return false;
    const bool answered = waiting == 0 && may_call(types, self)
                              ? process_outgoing(types, self)
                              : static_cast<bool>(call_method(
                                    self, waiting > 0 ? types.names.do_write : types.names.process_outgoing));
    if (!answered) return false;
  }
  return control_ssl_reading(types, self);
}

// Encrypts; false with an exception set.
bool encrypt(const state& types, PyObject* inner, PyObject* data) {
  const py::ref count = call_known(types.inner_object, types.inner_write, inner, types.names.write, data);
  if (!count) return false;
  trace::count(trace::counter::tls_bytes_written, static_cast<std::uint64_t>(PyLong_AsSsize_t(count.get())));
  return PyErr_Occurred() == nullptr;
}

// What OpenSSL has for the peer goes to the transport.
bool send_outgoing(const state& types, const protocol_object& self) {
  const py::ref data = call_known(types.memory_bio, types.bio_read, self.outgoing, types.names.read);
  if (!data) return false;
  const Py_ssize_t size = PyObject_Size(data.get());
  if (size <= 0) return size == 0;
  const py::ref transport = py::ref::borrow(self.transport);
  return static_cast<bool>(call_method(transport.get(), types.names.write, data.get()));
}

// Whether the program may go on writing as before, or write at last, with so much still in the MemoryBIO.
bool control_app_writing(PyObject* self, const state& types, Py_ssize_t pending) {
  const protocol_object& fields = protocol_of(self);
  const Py_ssize_t size = pending + fields.write_buffer_size;
  const bool settled =
      fields.app_writing_paused != 0 ? size > fields.outgoing_low : size < fields.outgoing_high;
  return settled || call_method(self, types.names.control_app_writing);
}

bool encrypt_in_pieces(const state& types, const protocol_object& self, PyObject* inner, PyObject* data) {
  char* const start = PyBytes_AS_STRING(data);
  const Py_ssize_t size = PyBytes_GET_SIZE(data);
  for (Py_ssize_t at = 0; at < size; at += largest_write) {
    const py::ref piece =
        py::ref::steal(PyMemoryView_FromMemory(start + at, std::min(largest_write, size - at), PyBUF_READ));
    if (!piece || !encrypt(types, inner, piece.get())) return false;
    if (self.ssl_writing_paused == 0 && !send_outgoing(types, self)) return false;
  }
  return true;
}

}  // namespace

bool has_plain_objects(const state& types, const protocol_object& self) noexcept {
  const auto is = [](PyObject* object, const py::ref& type) {
    return object != nullptr && reinterpret_cast<PyObject*>(Py_TYPE(object)) == type.get();
  };
  return is(self.sslobj, types.ssl_object) && is_plain_bio(types, self.incoming) &&
         is_plain_bio(types, self.outgoing);
}

Py_ssize_t pending_bytes(const state& types, PyObject* memory_bio) {
  PyObject* const getter = is_plain_bio(types, memory_bio) ? types.bio_pending.get() : nullptr;
  const py::ref pending =
      py::ref::steal(getter != nullptr ? Py_TYPE(getter)->tp_descr_get(getter, memory_bio, nullptr)
                                       : PyObject_GetAttr(memory_bio, types.names.pending.get()));
  return pending ? PyLong_AsSsize_t(pending.get()) : -1;
}

bool fatal(const state& types, PyObject* self) {
  if (PyErr_ExceptionMatches(PyExc_Exception) == 0) return false;
  const py::ref error = py::take_raised();
  const py::ref text = py::ref::steal(PyUnicode_FromString("Fatal error on SSL protocol"));
  return text && call_method(self, types.names.fatal_error, error.get(), text.get());
}

bool do_read(state& types, PyObject* self) {
  const protocol_object& fields = protocol_of(self);
  if (!is_in(fields, types.wrapped) && !is_in(fields, types.flushing)) return true;
  const py::ref alive = py::ref::borrow(self);
  return read_and_answer(types, self) || fatal(types, self);
}

bool read_copied(state& types, PyObject* self) {
  const protocol_object& fields = protocol_of(self);
  const py::ref inner = inner_of(types, fields);
  const Py_ssize_t there = inner ? pending_bytes(types, fields.incoming) : -1;
  if (there < 0) return false;
  plaintext read;
  const bool good = there > largest_record + 256 ? read_many(types, fields, inner.get(), there, read)
                                                 : read_few(types, fields, inner.get(), there, read);
  return good && deliver(types, self, read);
}

bool process_outgoing(state& types, PyObject* self) {
  const protocol_object& fields = protocol_of(self);
  const Py_ssize_t pending = pending_bytes(types, fields.outgoing);
  if (pending < 0) return false;
  if (pending == 0 || fields.ssl_writing_paused != 0) return control_app_writing(self, types, pending);
  // Whoever encrypts while the transport writes comes by here as well, and sends it.
  return send_outgoing(types, fields) && control_app_writing(self, types, 0);
}

int write_now(state& types, PyObject* self, PyObject* data) {
  const protocol_object& fields = protocol_of(self);
  if (!PyBytes_CheckExact(data) || !is_in(fields, types.wrapped) || !has_plain_objects(types, fields))
    return 0;
  const Py_ssize_t waiting = PyObject_Size(fields.write_backlog);
  if (waiting != 0) return waiting < 0 ? -1 : 0;
  const py::ref alive = py::ref::borrow(self);
  const py::ref inner = inner_of(types, fields);
  const bool large = PyBytes_GET_SIZE(data) > largest_write;
  const bool encrypted = inner && (large ? encrypt_in_pieces(types, fields, inner.get(), data)
                                         : encrypt(types, inner.get(), data));
  if (!encrypted && !large && is_again(types)) {
    PyErr_Clear();
    return 0;  // OpenSSL took nothing: it waits as asyncio has it wait
  }
  if (encrypted && process_outgoing(types, self)) return 1;
  return fatal(types, self) ? 1 : -1;
}

}  // namespace triga::tls
