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
      {&debug, "_debug"},
      {&report, "_report"},
      {&warn_of_lost_writes, "_warn_of_lost_writes"},
      {&call_connection_lost, "_call_connection_lost"},
      {&release, "_release"},
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
  return 0;
}

void state::clear() {
  type.reset();
  buffered_protocol.reset();
  transport_socket.reset();
}

// ---- the transport's life
// ------------------------------------------------------------------------------------------

transport::transport(PyObject* self, state& types) noexcept
    : self_(self), types_(types), stream_(*this, release_bytes) {}

int transport::traverse(visitproc visit, void* arg) const {
  for (const py::ref* each :
       {&loop, &sock, &protocol, &extra, &server, &empty_waiter, &context, &read_context_, &write_context_,
        &keepers_, &closed_sock_, &high_water, &low_water}) {
    Py_VISIT(each->get());
  }
  return 0;
}

// The order counts: the poller belongs to the loop, so the stream leaves it while the loop is still referred
// to.
void transport::clear() {
  stream_.detach();
  core_ = nullptr;
  for (py::ref* each : {&sock, &protocol, &extra, &server, &empty_waiter, &context, &read_context_,
                        &write_context_, &keepers_, &closed_sock_, &high_water, &low_water, &loop}) {
    each->reset();
  }
}

bool transport::open(loops::core& core, PyObject* socket, PyObject* with_context, PyObject* kept_by) {
  const py::ref number = call_method(socket, types_.names.fileno);
  if (!number) return false;
  const int fd = PyObject_AsFileDescriptor(number.get());
  if (fd < 0) return false;
  core_ = &core;
  loop = py::ref::borrow(core.self());
  sock = py::ref::borrow(socket);
  if (with_context != Py_None) context = py::ref::borrow(with_context);
  keepers_ = py::ref::borrow(kept_by);
  stream_.attach(core.poller(), fd);
  return note_peer();
}

void transport::settle_keeping() {
  const bool needed = stream_.is_registered() || posted_;
  if (needed == kept_ || !keepers_) return;
  kept_ = needed;
  const int done = needed ? PySet_Add(keepers_.get(), self_) : PySet_Discard(keepers_.get(), self_);
  if (done < 0) PyErr_WriteUnraisable(self_);
}

// ---- turns
// ---------------------------------------------------------------------------------------------------------

void transport::on_ready(std::uint32_t events) {
  pending_events_ |= events;
  if (posted_) return;
  posted_ = true;
  core_->loop().post(*this);
}

// asyncio's handles run in the context that was current when they were made. Here the reader's is kept from
// the moment reading started, the writer's from the write that had to wait.
template <class Step>
void transport::in_context(const py::ref& which, Step step) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): step may replace it
  const py::ref entered = which;
  const py::ref to_loop = loop;  // step may end the transport
  if (PyContext_Enter(entered.get()) == 0) {
    step();
    PyContext_Exit(entered.get());
  }
  if (PyErr_Occurred() != nullptr) report_escaped(to_loop.get());
}

void transport::run() {
  const py::ref alive = py::ref::borrow(self_);
  posted_ = false;
  const std::uint32_t events = std::exchange(pending_events_, 0);
  if (stream_.should_read(events)) in_context(read_context_, [this] { read_once(); });
  // With an exception set (KeyboardInterrupt) the turn is over; writability will be reported again.
  if (PyErr_Occurred() == nullptr && stream_.should_flush(events)) {
    in_context(write_context_, [this] { stream_.flush(); });
  }
  settle_keeping();
}

// What leaves a callback of asyncio's loop: SystemExit and KeyboardInterrupt stay set and end the turn, the
// rest goes to the exception handler.
void transport::report_escaped(PyObject* to_loop) {
  if (must_propagate()) return;
  const py::ref error = py::take_raised();
  (void)call_method(self_, types_.names.report, to_loop, error.get());
}

bool transport::copy_context_into(py::ref& which) {
  which = context ? context : py::ref::steal(PyContext_CopyCurrent());
  return static_cast<bool>(which);
}

// ---- the type
// ------------------------------------------------------------------------------------------------------

namespace {

PyObject* transport_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  new (reinterpret_cast<transport_object*>(self)->native) transport(self, state_of(type).transports);
  return self;
}

int transport_traverse(PyObject* self, visitproc visit, void* arg) {
  auto* object = reinterpret_cast<transport_object*>(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(object->dict);
  for (PyObject* each : object->base_slots) Py_VISIT(each);
  return native_of(self).traverse(visit, arg);
}

int transport_clear(PyObject* self) {
  auto* object = reinterpret_cast<transport_object*>(self);
  native_of(self).clear();
  Py_CLEAR(object->dict);
  for (PyObject*& each : object->base_slots) Py_CLEAR(each);
  return 0;
}

void transport_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  if (PyObject_CallFinalizerFromDealloc(self) < 0) return;  // somebody holds it again
  PyObject_GC_UnTrack(self);
  if (reinterpret_cast<transport_object*>(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  transport_clear(self);
  native_of(self).~transport();
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
    {Py_tp_traverse, reinterpret_cast<void*>(transport_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(transport_clear)},
    {Py_tp_methods, transport_methods},
    {Py_tp_getset, transport_properties},
    {Py_tp_members, layout_members},
    {0, nullptr},
};

PyType_Spec transport_spec = {
    .name = "asyncio.selector_events._SelectorSocketTransport",
    .basicsize = sizeof(transport_object),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = transport_slots,
};

}  // namespace

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
  types.buffered_protocol = py::ref::borrow(buffered_protocol);
  types.transport_socket = py::ref::borrow(transport_socket);
  types.empty_bytes = py::ref::steal(PyBytes_FromStringAndSize(nullptr, 0));
  if (!types.read_memory) {
    raise_mmap_threshold();
    types.read_memory = std::make_unique_for_overwrite<std::byte[]>(most_per_read);
  }
  return Py_NewRef(types.type.get());
}

}  // namespace triga::transports
