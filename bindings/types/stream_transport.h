// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "bindings/py/ref.h"
#include "bindings/types/loop.h"
#include "runtime/loop/event_loop.h"
#include "runtime/net/address.h"
#include "runtime/net/stream.h"

// The native stand-in for asyncio.selector_events._SelectorSocketTransport: TCP and Unix streams of triga's
// loop.
//
// The type derives from a Python class of triga._loop.transports, which derives from asyncio's
// _FlowControlMixin and Transport and has what runs seldom: construction, repr, logging. Here is what runs
// for every message.
namespace triga::transports {

// Names of methods that are called, interned. The methods are looked up at each call: protocols and loops may
// be given others at any time.
struct method_names {
  py::ref data_received, get_buffer, buffer_updated, eof_received, connection_lost, pause_writing,
      resume_writing;
  py::ref call_soon, get_debug, set_result, set_exception, fileno, close, join;
  py::ref socket, sockname, peername, getsockname, getpeername;
  py::ref fatal_error, debug, report, warn_of_lost_writes, call_connection_lost, release;

  bool intern();
};

struct state {
  py::ref type;
  py::ref buffered_protocol;  // asyncio.BufferedProtocol
  py::ref empty_bytes;        // b""
  py::ref transport_socket;   // asyncio.trsock.TransportSocket
  method_names names;
  // Where every transport of this interpreter receives small reads: the GIL is held from the recv(2) to the
  // copy.
  std::unique_ptr<std::byte[]> read_memory;

  int traverse(visitproc visit, void* arg) const;
  void clear();
};

inline constexpr std::size_t most_per_read = 256 * 1024;  // asyncio's max_size

// Makes the type under `base`, a class whose instances have asyncio's slots and no others. Throws
// pybind11::error_already_set, or std::runtime_error if the base's layout is not the known one.
PyObject* make_type(PyObject* core, PyObject* base, PyObject* buffered_protocol, PyObject* transport_socket);

// An IPv4 or IPv6 address, or a short Unix one, in as little memory as it takes.
class short_address {
 public:
  // False if it is longer, or empty.
  bool take(const net::address& address) noexcept;
  [[nodiscard]] net::address get() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  std::array<std::byte, sizeof(sockaddr_in6)> bytes_{};
  std::uint8_t size_ = 0;
};

// The C++ half of one transport: what its stream tells goes to the protocol, in the contexts and with the
// errors that asyncio's transport would give. Everything is used under the GIL, on the loop's thread.
//
// What keeps a transport alive, as asyncio's selector does for a registered reader: while it is watched, or
// posted to the loop's ready queue, it is an element of `keepers`, a set that belongs to the loop.
class transport final : public net::stream_sink, public loop::ready_task {
 public:
  transport(PyObject* self, state& types) noexcept;
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;
  transport(transport&&) = delete;
  transport& operator=(transport&&) = delete;
  ~transport() = default;

  int traverse(visitproc visit, void* arg) const;
  void clear();

  // The transport's own methods, named as asyncio's. False or null: an exception is set.
  bool open(loops::core& core, PyObject* sock, PyObject* with_context, PyObject* kept_by);
  // Makes `extra` complete, once. False: an exception is set.
  bool describe();
  [[nodiscard]] bool knows_peer() const noexcept { return peer_known_; }
  bool set_protocol(PyObject* protocol);
  bool start_reading();
  bool pause_reading();
  bool resume_reading();
  bool write(PyObject* data);
  bool writelines(PyObject* pieces);
  bool write_eof();
  bool close();
  bool force_close(PyObject* reason);
  bool call_connection_lost(PyObject* reason);
  void check_high_water() { stream_.check_high_water(); }
  void check_low_water() { stream_.check_low_water(); }
  bool set_water_mark(py::ref transport::* mark, PyObject* value);
  void read_once();

  [[nodiscard]] const net::stream& stream() const noexcept { return stream_; }
  [[nodiscard]] bool is_paused() const noexcept { return paused_; }
  [[nodiscard]] bool is_protocol_connected() const noexcept { return protocol_connected_; }
  [[nodiscard]] unsigned lost_writes() const noexcept { return lost_writes_; }

  // io::watcher: epoll's report joins the ready queue behind what is there, as asyncio's reader handles do.
  void on_ready(std::uint32_t events) override;
  // loop::ready_task
  void run() override;

  // net::stream_sink
  std::span<std::byte> receive_into() override;
  void received(std::size_t bytes) override;
  void received_eof() override;
  void read_failed(int error) override;
  void pause_writing() override;
  void resume_writing() override;
  void write_failed(int error) override;
  void drained() override;
  void half_close_failed(int error) override;
  void closed() override;

  py::ref loop, sock, protocol, extra, server, empty_waiter;  // extra: what was given, until describe()
  py::ref context;                                            // given at construction (3.15), else null
  py::ref high_water, low_water;                              // as they were set; null: the defaults

 private:
  bool note_peer();
  bool note_own_name();
  py::ref own_name();
  py::ref peer_name();
  py::ref name_by(const py::ref& method, int (*ask)(int, sockaddr*, socklen_t*));
  std::span<std::byte> protocol_memory();
  std::span<std::byte> exact_memory();
  void release_read_memory();
  py::ref received_bytes(std::size_t count);
  bool send_or_queue(PyObject* data, const void* start, std::size_t size);
  bool queue_rest(PyObject* data, const void* start, std::size_t size);
  bool queue_piece(PyObject* piece);
  bool watch_writable();
  bool may_write(const char* after_eof, const char* during_sendfile);
  bool note_lost_write();
  bool schedule_connection_lost(PyObject* reason);
  void fatal(const char* message);
  void flow_control_failed(const char* message);
  void report_escaped(PyObject* to_loop);
  void log_debug(const char* message);
  bool copy_context_into(py::ref& which);
  template <class Step>
  void in_context(const py::ref& which, Step step);
  void settle_keeping();

  PyObject* self_;  // the transport object, which owns this
  state& types_;
  loops::core* core_ = nullptr;  // of `loop`
  net::stream stream_;
  py::ref read_context_, write_context_;
  py::ref keepers_;
  py::ref closed_sock_;  // what was `sock`
  py::ref exact_;        // the bytes object that a large read goes straight into
  Py_buffer view_{};     // the buffered protocol's memory, during a read
  std::size_t last_read_ = 0;
  std::uint32_t pending_events_ = 0;
  unsigned lost_writes_ = 0;  // asyncio's _conn_lost: 1 at the end, and one more for each write after it
  short_address peer_, own_;
  bool peer_known_ = false;
  bool described_ = false;
  bool buffered_ = false;
  bool paused_ = false;
  bool protocol_connected_ = false;
  bool posted_ = false;
  bool kept_ = false;
};

// What every instance has in the slots of asyncio's classes (_extra, _loop and three of flow control) stays
// empty: properties of the same names on the native type are seen instead.
struct transport_object {
  PyObject_HEAD PyObject* base_slots[5];
  PyObject* dict;
  PyObject* weak_references;
  alignas(transport) std::byte native[sizeof(transport)];
};

[[nodiscard]] inline transport& native_of(PyObject* self) noexcept {
  return *std::launder(reinterpret_cast<transport*>(reinterpret_cast<transport_object*>(self)->native));
}

// Calls a method by its interned name; no object stands for None, which has no such method (a transport's
// protocol and loop after its end). A null result means that an exception is set.
template <class... Arguments>
py::ref call_method(PyObject* object, const py::ref& name, Arguments*... arguments) {
  PyObject* vector[] = {object != nullptr ? object : Py_None, arguments...};
  return py::ref::steal(PyObject_VectorcallMethod(
      name.get(), vector, (sizeof...(arguments) + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
}

// SystemExit and KeyboardInterrupt are for the loop's caller: asyncio never hands them to an exception
// handler.
[[nodiscard]] inline bool must_propagate() {
  return PyErr_ExceptionMatches(PyExc_SystemExit) != 0 ||
         PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
}

extern PyMethodDef transport_methods[];
extern PyGetSetDef transport_properties[];

}  // namespace triga::transports
