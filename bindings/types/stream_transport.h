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
#include "bindings/types/context_cache.h"
#include "bindings/types/loop.h"
#include "bindings/types/socket_operation.h"
#include "runtime/base/unique_fd.h"
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
  py::ref socket, sockname, peername, getsockname, getpeername, detach_from_server, warn_if_unclosed;
  py::ref fatal_error, debug, report, warn_of_lost_writes, call_connection_lost, release;
  py::ref connection_made, add_reader, attach_to_server;

  bool intern();
};

// A read that is under way: from receive_into() to what the protocol is told. No other transport of the
// interpreter reads meanwhile, as the GIL is held and no Python code runs.
struct read_in_progress {
  py::ref exact;          // the bytes object that a read goes straight into, or its beginning
  Py_buffer view{};       // the buffered protocol's memory
  bool natively = false;  // it is the native_receiver's
};

inline constexpr std::size_t most_per_read = 256 * 1024;  // asyncio's max_size

// Some processors copy up to five times slower to where a page has just begun (8 to 31 bytes of it), and
// there an allocator puts what it maps: AMD's with a fast `rep movsb`, by which the kernel copies.
struct page_aligned_memory {
  alignas(4096) std::array<std::byte, most_per_read> bytes;
};

// A protocol of ours that takes what is received past its Python methods: TLS. `memory` is empty where one of
// these is overridden; false, and null: an exception is set.
struct native_receiver {
  py::ref type;
  std::span<std::byte> (*memory)(PyObject* protocol) = nullptr;
  bool (*received)(PyObject* protocol, std::size_t count) = nullptr;
};

struct state {
  py::ref type;
  py::ref buffered_protocol;  // asyncio.BufferedProtocol
  py::ref empty_bytes;        // b""
  py::ref transport_socket;   // asyncio.trsock.TransportSocket
  method_names names;
  // Where every transport of this interpreter receives small reads: the GIL is held from the recv(2) to the
  // copy.
  std::unique_ptr<page_aligned_memory> read_memory;
  read_in_progress reading;
  transports::native_receiver native_receiver;
  // What the readers run in that have changed no context variable: see transport::run_reader().
  handles::context_cache contexts;

  int traverse(visitproc visit, void* arg) const;
  void clear();
};

// Makes the type under `base`, a class whose instances have asyncio's slots and no others. Throws
// pybind11::error_already_set, or std::runtime_error if the base's layout is not the known one.
PyObject* make_type(PyObject* core, PyObject* base, PyObject* buffered_protocol, PyObject* transport_socket);
// An instance of that type whose __init__() was not called. Null with an exception set.
py::ref new_transport(const state& types);

// An IPv4 or IPv6 address, or a short Unix one, in as little memory as it takes.
class short_address {
 public:
  // False if it is longer, or empty.
  bool take(const net::address& address) noexcept;
  [[nodiscard]] net::address get() const noexcept;
  [[nodiscard]] bool is_of_internet() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  std::array<std::byte, sizeof(sockaddr_in6)> bytes_{};
  std::uint8_t size_ = 0;
};

class transport;

// What every transport refers to. It lies where asyncio's five slots are (_extra, _loop and three of flow
// control), which nobody sees: properties of the same names on the native type are found instead.
struct held_references {
  py::ref loop, sock, protocol, extra, server;  // extra: what was given, until describe()
};

struct transport_object {
  PyObject_HEAD alignas(held_references) std::byte held[sizeof(held_references)];
  PyObject* dict;
  PyObject* weak_references;
  // The transport follows.
};

class server_clients;

// What few transports have, and an idle one does not.
struct seldom_held {
  py::ref empty_waiter;
  py::ref high_water, low_water;  // as they were set; null: the defaults
  py::ref closed_sock;            // what was the socket
  short_address own;              // of the closed socket
};

// The C++ half of one transport: what its stream tells goes to the protocol, in the contexts and with the
// errors that asyncio's transport would give. Everything is used under the GIL, on the loop's thread.
//
// What keeps a transport alive, as asyncio's selector does for a registered reader: while it is watched, or
// posted to the loop's ready queue, the loop's transport_table holds it.
//
// Programs have tens of thousands of idle ones, so every field here is counted.
class transport final : public net::stream_sink, public loop::ready_task {
 public:
  explicit transport(state& types) noexcept;
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;
  transport(transport&&) = delete;
  transport& operator=(transport&&) = delete;
  ~transport() = default;

  int traverse(visitproc visit, void* arg) const;
  void clear();
  // For good; the loop lets go of it.
  void leave_loop() noexcept;
  // The server's connections do not have it any more.
  void leave_clients() noexcept;

  // The transport's own methods, named as asyncio's. False or null: an exception is set.
  bool open(loops::core& core, PyObject* sock, PyObject* with_context);
  // The same for a connection that accept4(2) gave: the transport owns its descriptor until a socket object
  // is made, by sock(). `with_context` may be null.
  bool open_accepted(loops::core& core, unique_fd connection, const sockets::socket_parameters& parameters,
                     PyObject* with_context, const net::address& peer);
  // May open_accepted() be given these?
  [[nodiscard]] static bool knows(const sockets::socket_parameters& parameters) noexcept;
  // The socket object; null once it is closed, or with an exception set.
  [[nodiscard]] py::ref sock();
  bool set_sock(PyObject* sock);
  [[nodiscard]] bool has_sock() const noexcept { return held().sock || owns_descriptor_; }
  // Makes `extra` complete, once. False: an exception is set.
  bool describe();
  [[nodiscard]] bool is_on(const loops::core& core, int fd) const noexcept {
    return core_ == &core && stream_.fd() == fd;
  }
  bool set_protocol(PyObject* protocol);
  bool start_reading();
  bool pause_reading();
  bool resume_reading();
  bool write(PyObject* data);
  bool writelines(PyObject* pieces);
  bool write_eof();
  // Sends what writes of this turn have left for its end. False: an exception is set.
  bool send_gathered();
  // The same, and what waits for the transport's share of the next turns.
  bool hold_nothing_back();
  bool close();
  bool force_close(PyObject* reason);
  bool call_connection_lost(PyObject* reason);
  void check_high_water() { stream_.check_high_water(); }
  void check_low_water() { stream_.check_low_water(); }
  bool set_water_mark(py::ref seldom_held::* mark, PyObject* value);
  void read_once();

  [[nodiscard]] const net::stream& stream() const noexcept { return stream_; }
  [[nodiscard]] bool is_paused() const noexcept { return paused_; }
  // Is it told of what arrives? A paused one may be watched for a while, see pause_reading().
  [[nodiscard]] bool polls_reading() const noexcept { return stream_.watches_reading() && !paused_; }
  // Others watch the descriptor while reading is paused: sendfile does.
  void leave_descriptor();
  [[nodiscard]] bool is_protocol_connected() const noexcept { return protocol_connected_; }
  [[nodiscard]] unsigned lost_writes() const noexcept { return lost_writes_; }

  // io::watcher: epoll's report joins the ready queue behind what is there, as asyncio's reader handles do.
  void on_ready(std::uint32_t events) override;
  // loop::ready_task
  void run() override;
  void end_turn() override;
  void end_run() override { send_held_back(); }

  // net::stream_sink
  net::receive_space receive_into() override;
  void received(std::size_t bytes) override;
  void received_eof() override;
  void read_failed(int error) override;
  void pause_writing() override;
  void resume_writing() override;
  void write_failed(int error) override;
  void drained() override;
  void half_close_failed(int error) override;
  void closed() override;

  [[nodiscard]] PyObject* self() noexcept;
  [[nodiscard]] held_references& held() noexcept;
  [[nodiscard]] const held_references& held() const noexcept;
  [[nodiscard]] PyObject* context() const noexcept { return context_.get(); }
  // What of the seldom held things there is; for a change they are made.
  [[nodiscard]] PyObject* find(py::ref seldom_held::* which) const noexcept {
    return seldom_ ? ((*seldom_).*which).get() : nullptr;
  }
  [[nodiscard]] seldom_held& seldom() {
    if (!seldom_) seldom_ = std::make_unique<seldom_held>();
    return *seldom_;
  }

 private:
  friend class server_clients;
  void join(loops::core& core, int fd, PyObject* with_context);
  void close_sock();
  void close_owned_descriptor() noexcept;
  [[nodiscard]] sockets::socket_parameters parameters() const noexcept;
  bool take_peer(const net::address& accepted_from);
  bool note_peer();
  bool leave_server();
  bool note_own_name();
  [[nodiscard]] bool is_forgotten() noexcept;
  py::ref own_name();
  py::ref peer_name();
  py::ref name_by(const py::ref& method, int (*ask)(int, sockaddr*, socklen_t*));
  std::span<std::byte> protocol_memory();
  std::span<std::byte> receiver_memory();
  std::span<std::byte> exact_memory();
  net::receive_space expected_memory();
  void release_view();
  void release_read_memory();
  py::ref received_bytes(std::size_t count);
  bool send_or_queue(PyObject* data, const void* start, std::size_t size);
  [[nodiscard]] bool may_gather(std::size_t size) const noexcept;
  bool gather();
  bool queue_rest(PyObject* data, const void* start, std::size_t size);
  bool queue_piece(PyObject* piece);
  bool watch_writable();
  void send_next_turn();
  void send_held_back();
  void flush();
  bool may_write(const char* after_eof, const char* during_sendfile);
  bool note_lost_write();
  bool schedule_connection_lost(PyObject* reason);
  void fatal(const char* message);
  void flow_control_failed(const char* message);
  void report_escaped(PyObject* to_loop);
  void log_debug(const char* message);
  bool copy_context_into(py::ref& which);
  bool choose_write_context();
  void drop_write_context() noexcept;
  void send_queue(bool others);
  template <class Step>
  void in_context(PyObject* context, Step step);
  void run_reader();
  bool choose_read_context();
  void drop_read_context() noexcept;
  void settle_keeping();
  [[nodiscard]] py::ref closed_sock();

  state& types_;
  loops::core* core_ = nullptr;  // of the loop, until the transport has left it
  net::stream stream_;
  py::ref context_;                       // given at construction (3.15), else null
  py::ref read_context_, write_context_;  // each may be a snapshot that others share
  std::unique_ptr<seldom_held> seldom_;
  server_clients* clients_ = nullptr;  // those of the server, if it is one of them
  std::uint32_t place_among_clients_ = 0;
  std::uint16_t pending_events_ = 0;
  std::uint16_t last_read_ = 0;  // how many bytes; 0: more than this can say
  unsigned lost_writes_ = 0;     // asyncio's _conn_lost: 1 at the end, and one more for each write after it
  short_address peer_;
  // Of a connection that was accepted: what a socket object is to be told, where none was made.
  std::uint8_t family_ = 0;
  std::uint8_t protocol_number_ = 0;
  bool owns_descriptor_ = false;
  bool gathers_ = false;          // the stream's queue is sent by send_gathered()
  bool awaits_turn_end_ = false;  // end_turn() will be called
  bool shares_read_context_ : 1 = false;
  bool shares_write_context_ : 1 = false;
  bool last_read_was_large_ : 1 = false;
  bool peer_known_ : 1 = false;
  bool described_ : 1 = false;
  bool buffered_ : 1 = false;
  bool paused_ : 1 = false;
  bool protocol_connected_ : 1 = false;
  bool posted_ : 1 = false;
  bool kept_ : 1 = false;
  bool sends_next_turn_ : 1 = false;  // posted_ as well: the stream waits for its share of the loop's turn
};

// asyncio's handles run in the context that was current when they were made. Here the reader's is kept from
// the moment reading started, the writer's from the write that had to wait. One that is entered already, by
// whoever made the call that leads here, cannot be entered again; the step must not be left out for that.
// The caller holds the context; with null the step is made in the current one.
template <class Step>
void transport::in_context(PyObject* context, Step step) {
  const py::ref to_loop = held().loop;  // step may end the transport
  const bool enters = context != nullptr && PyContext_Enter(context) == 0;
  if (!enters) PyErr_Clear();
  step();
  if (enters) PyContext_Exit(context);
  if (PyErr_Occurred() != nullptr) report_escaped(to_loop.get());
}

inline constexpr std::size_t native_offset =
    (sizeof(transport_object) + alignof(transport) - 1) / alignof(transport) * alignof(transport);

[[nodiscard]] inline transport& native_of(PyObject* self) noexcept {
  return *std::launder(reinterpret_cast<transport*>(reinterpret_cast<char*>(self) + native_offset));
}

[[nodiscard]] inline held_references& held_by(PyObject* self) noexcept {
  return *std::launder(reinterpret_cast<held_references*>(reinterpret_cast<transport_object*>(self)->held));
}

inline PyObject* transport::self() noexcept {
  return reinterpret_cast<PyObject*>(reinterpret_cast<char*>(this) - native_offset);
}

inline held_references& transport::held() noexcept { return held_by(self()); }

inline const held_references& transport::held() const noexcept {
  return const_cast<transport*>(this)->held();
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
