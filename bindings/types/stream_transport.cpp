// SPDX-License-Identifier: MIT
// The transport's type, its life, and its turns on the loop.
#include "bindings/types/stream_transport.h"

#include <Python.h>
#include <structmember.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <stdexcept>

#include "bindings/module_state.h"
#include "bindings/py/raised.h"
#include "bindings/py/throw_raised.h"
#include "bindings/types/server_clients.h"

namespace triga::transports {
namespace {

void release_bytes(void* owner) noexcept { Py_DECREF(static_cast<PyObject*>(owner)); }

// glibc serves a request above its mmap threshold (128 KB at first) by mmap, whose page faults cost many
// times the copy of the bytes that come to lie there. Freeing one such block raises the threshold to its
// size: messages of a few hundred KB then come from the heap.
void raise_mmap_threshold() {
  void* volatile block = std::malloc(std::size_t{2} * 1024 * 1024);
  std::free(block);
}

}  // namespace

// ---- the interpreter's state
// ---------------------------------------------------------------------------------------

bool method_names::intern() {
  const std::pair<py::ref*, const char*> all[] = {
      {&data_received, "data_received"},
      {&get_buffer, "get_buffer"},
      {&buffer_updated, "buffer_updated"},
      {&eof_received, "eof_received"},
      {&connection_lost, "connection_lost"},
      {&pause_writing, "pause_writing"},
      {&resume_writing, "resume_writing"},
      {&call_soon, "call_soon"},
      {&get_debug, "get_debug"},
      {&set_result, "set_result"},
      {&set_exception, "set_exception"},
      {&join, "join"},
      {&fileno, "fileno"},
      {&close, "close"},
      {&fatal_error, "_fatal_error"},
      {&socket, "socket"},
      {&sockname, "sockname"},
      {&peername, "peername"},
      {&getsockname, "getsockname"},
      {&getpeername, "getpeername"},
      {&detach_from_server, "_detach"},
      {&warn_if_unclosed, "_warn_if_unclosed"},
      {&debug, "_debug"},
      {&report, "_report"},
      {&warn_of_lost_writes, "_warn_of_lost_writes"},
      {&call_connection_lost, "_call_connection_lost"},
      {&release, "_release"},
      {&connection_made, "connection_made"},
      {&add_reader, "_add_reader"},
      {&attach_to_server, "_attach"},
  };
  for (const auto& [name, text] : all) {
    *name = py::ref::steal(PyUnicode_InternFromString(text));
    if (!*name) return false;
  }
  return true;
}

int state::traverse(visitproc visit, void* arg) const {
  Py_VISIT(type.get());
  Py_VISIT(buffered_protocol.get());
  Py_VISIT(transport_socket.get());
  Py_VISIT(native_receiver.type.get());
  return contexts.traverse(visit, arg);
}

void state::clear() {
  contexts.forget();
  type.reset();
  buffered_protocol.reset();
  transport_socket.reset();
  native_receiver.type.reset();
}

// ---- the transport's life
// ------------------------------------------------------------------------------------------

transport::transport(state& types) noexcept : types_(types), stream_(*this, release_bytes) {}

int transport::traverse(visitproc visit, void* arg) const {
  const auto& [loop, sock, protocol, extra, server] = held();
  for (const py::ref* each :
       {&loop, &sock, &protocol, &extra, &server, &context_, &read_context_, &write_context_}) {
    Py_VISIT(each->get());
  }
  for (const auto which : {&seldom_held::empty_waiter, &seldom_held::high_water, &seldom_held::low_water,
                           &seldom_held::closed_sock}) {
    Py_VISIT(find(which));
  }
  return 0;
}

// The order counts: the poller belongs to the loop, so the transport leaves it while the loop is still
// referred to.
void transport::clear() {
  leave_loop();
  leave_clients();
  close_owned_descriptor();
  drop_read_context();
  const std::unique_ptr<seldom_held> dropped = std::move(seldom_);
  auto& [loop, sock, protocol, extra, server] = held();
  for (py::ref* each : {&sock, &protocol, &extra, &server, &context_, &write_context_, &loop}) each->reset();
}

void transport::settle_keeping() {
  const bool needed = polls_reading() || stream_.watches_writing() || posted_ || awaits_turn_end_;
  if (needed == kept_ || core_ == nullptr) return;
  kept_ = needed;
  if (needed) {
    core_->transports().keep(stream_.fd(), self());
  } else {
    core_->transports().let_go(stream_.fd(), self());
  }
}

void transport::leave_loop() noexcept {
  stream_.detach();
  loops::core* const core = std::exchange(core_, nullptr);
  if (core == nullptr) return;
  const bool expected = posted_ || awaits_turn_end_;
  posted_ = awaits_turn_end_ = gathers_ = sends_next_turn_ = false;
  if (expected) core->loop().forget(*this);
  kept_ = false;
  core->transports().remove(stream_.fd(), self());
}

void transport::leave_clients() noexcept {
  if (clients_ != nullptr) (void)clients_->discard(self());
}

// ---- turns
// ---------------------------------------------------------------------------------------------------------

void transport::on_ready(std::uint32_t events) {
  pending_events_ |= static_cast<std::uint16_t>(events);
  if (posted_) return;
  posted_ = true;
  core_->loop().post(*this);
}

// Each reader has a context of its own, in which the variables that the protocol sets stay from one message
// to the next. Nearly none sets any, and a Context is a fifth of what an idle connection takes. So readers
// that started with the same variables share a snapshot that nobody enters, and run one after the other in a
// spare context (context_cache). One that changed it, or whose context somebody else got hold of, keeps that.
void transport::run_reader() {
  if (shares_read_context_ && !types_.contexts.shares(read_context_)) {
    // Readers with other variables have come since; no two kinds take turns with the spare.
    py::ref own = py::ref::steal(PyContext_Copy(read_context_.get()));
    if (!own) return report_escaped(held().loop.get());
    drop_read_context();
    read_context_ = std::move(own);
  }
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the reader may replace it
  const py::ref snapshot = read_context_;
  if (!shares_read_context_) return in_context(snapshot.get(), [this] { read_once(); });
  py::ref entered = types_.contexts.enterable(snapshot.get());
  if (!entered) return report_escaped(held().loop.get());
  in_context(entered.get(), [this] { read_once(); });
  const bool still = shares_read_context_ && read_context_.get() == snapshot.get();
  if (!types_.contexts.give_back(entered, snapshot.get()) && still) {
    drop_read_context();
    read_context_ = std::move(entered);
  }
  types_.contexts.let_go(snapshot);
}

bool transport::choose_read_context() {
  drop_read_context();
  if (!context_) read_context_ = types_.contexts.snapshot();
  shares_read_context_ = static_cast<bool>(read_context_);
  return shares_read_context_ || copy_context_into(read_context_);
}

void transport::drop_read_context() noexcept {
  const py::ref dropped = std::move(read_context_);
  const bool shared = shares_read_context_;
  shares_read_context_ = false;
  if (shared) types_.contexts.let_go(dropped);
}

void transport::run() {
  const py::ref alive = py::ref::borrow(self());
  posted_ = false;
  const std::uint32_t events = std::exchange(pending_events_, std::uint16_t{0});
  if (stream_.should_read(events)) {
    if (paused_) {
      leave_descriptor();
    } else {
      run_reader();
    }
  }
  if (stream_.should_flush(events) || sends_next_turn_) flush();
  settle_keeping();
}

// With an exception set (KeyboardInterrupt) the turn is over, and this waits for another.
void transport::flush() {
  if (PyErr_Occurred() != nullptr) {
    if (sends_next_turn_) send_next_turn();
    return;
  }
  sends_next_turn_ = false;
  send_queue(core_ == nullptr || !core_->loop().is_all_of_the_turn());
}

// What leaves a callback of asyncio's loop: SystemExit and KeyboardInterrupt stay set and end the turn, the
// rest goes to the exception handler.
void transport::report_escaped(PyObject* to_loop) {
  if (must_propagate()) return;
  const py::ref error = py::take_raised();
  (void)call_method(self(), types_.names.report, to_loop, error.get());
}

bool transport::copy_context_into(py::ref& which) {
  which = context_ ? context_ : py::ref::steal(PyContext_CopyCurrent());
  return static_cast<bool>(which);
}

// ---- the type
// ------------------------------------------------------------------------------------------------------

namespace {

PyObject* transport_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  new (reinterpret_cast<transport_object*>(self)->held) held_references;
  new (reinterpret_cast<char*>(self) + native_offset) transport(state_of(type).transports);
  return self;
}

int transport_traverse(PyObject* self, visitproc visit, void* arg) {
  auto* object = reinterpret_cast<transport_object*>(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(object->dict);
  return native_of(self).traverse(visit, arg);
}

int transport_clear(PyObject* self) {
  auto* object = reinterpret_cast<transport_object*>(self);
  native_of(self).clear();
  Py_CLEAR(object->dict);
  return 0;
}

// Most have closed their socket. Python warns of the others.
void transport_finalize(PyObject* self) {
  if (!native_of(self).has_sock()) return;
  py::ref before = py::take_raised();
  if (!call_method(self, state_of(Py_TYPE(self)).transports.names.warn_if_unclosed)) {
    PyErr_WriteUnraisable(self);
  }
  if (before) py::raise_again(std::move(before));
}

void transport_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  if (PyObject_CallFinalizerFromDealloc(self) < 0) return;  // somebody holds it again
  PyObject_GC_UnTrack(self);
  native_of(self).leave_loop();  // before a callback of a weak reference asks the loop or the server for it
  native_of(self).leave_clients();
  if (reinterpret_cast<transport_object*>(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  transport_clear(self);
  native_of(self).~transport();
  held_by(self).~held_references();
  type->tp_free(self);
  Py_DECREF(type);  // an instance of a heap type owns a reference to it
}

PyMemberDef layout_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(transport_object, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(transport_object, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot transport_slots[] = {
    {Py_tp_doc, const_cast<char*>("A connected stream socket of triga's event loop.")},
    {Py_tp_new, reinterpret_cast<void*>(transport_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(transport_dealloc)},
    {Py_tp_finalize, reinterpret_cast<void*>(transport_finalize)},
    {Py_tp_traverse, reinterpret_cast<void*>(transport_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(transport_clear)},
    {Py_tp_methods, transport_methods},
    {Py_tp_getset, transport_properties},
    {Py_tp_members, layout_members},
    {0, nullptr},
};

PyType_Spec transport_spec = {
    .name = "asyncio.selector_events._SelectorSocketTransport",
    .basicsize = static_cast<int>(native_offset + sizeof(transport)),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = transport_slots,
};

}  // namespace

py::ref new_transport(const state& types) {
  return py::ref::steal(transport_new(types.type.type(), nullptr, nullptr));
}

PyObject* make_type(PyObject* core, PyObject* base, PyObject* buffered_protocol, PyObject* transport_socket) {
  state& types = state_of(core).transports;
  const auto size = static_cast<std::size_t>(reinterpret_cast<PyTypeObject*>(base)->tp_basicsize);
  if (size != offsetof(transport_object, dict)) {
    throw std::runtime_error("asyncio's transport classes have other slots than triga knows");
  }
  const py::ref bases = py::ref::steal(PyTuple_Pack(1, base));
  if (!bases || !types.names.intern()) py::throw_raised();
  types.type = py::ref::steal(PyType_FromModuleAndSpec(core, &transport_spec, bases.get()));
  if (!types.type) py::throw_raised();
  types.contexts.probe();
  types.buffered_protocol = py::ref::borrow(buffered_protocol);
  types.transport_socket = py::ref::borrow(transport_socket);
  types.empty_bytes = py::ref::steal(PyBytes_FromStringAndSize(nullptr, 0));
  if (!types.read_memory) {
    raise_mmap_threshold();
    types.read_memory = std::make_unique_for_overwrite<page_aligned_memory>();
  }
  return Py_NewRef(types.type.get());
}

}  // namespace triga::transports
