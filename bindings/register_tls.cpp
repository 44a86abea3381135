// SPDX-License-Identifier: MIT
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "bindings/module_state.h"
#include "bindings/register.h"
#include "bindings/types/ssl_protocol.h"

namespace triga {
namespace tls {
namespace {

constexpr Py_ssize_t page = 4096;

// The start of a page, for the reason that transports::page_aligned_memory has, in a bytearray: a view of it
// that somebody keeps keeps the memory.
bool make_receive_memory(state& types) {
  const py::ref whole = py::ref::steal(PyByteArray_FromStringAndSize(nullptr, receive_size + page));
  const py::ref all = py::ref::steal(whole ? PyMemoryView_FromObject(whole.get()) : nullptr);
  if (!all) return false;
  char* const memory = PyByteArray_AS_STRING(whole.get());
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto before = static_cast<Py_ssize_t>(-address % page);
  types.received = memory + before;
  types.received_view = py::ref::steal(PySequence_GetSlice(all.get(), before, before + receive_size));
  return static_cast<bool>(types.received_view);
}

// A descriptor of a class, if it is of that kind; null without an exception if not.
py::ref descriptor_of(PyObject* owner, const char* name, const PyTypeObject* kind) {
  py::ref found = py::ref::steal(PyObject_GetAttrString(owner, name));
  if (!found) PyErr_Clear();
  if (!found || Py_TYPE(found.get()) != kind) return {};
  return found;
}

// What a native transport asks of a connection's protocol, past its Python methods.
std::span<std::byte> receiver_memory(PyObject* protocol) {
  state& types = triga::state_of(Py_TYPE(protocol)).tls;
  if (!is_as_made(types, protocol)) return {};
  return {reinterpret_cast<std::byte*>(types.received), static_cast<std::size_t>(receive_size)};
}

bool receiver_takes(PyObject* protocol, std::size_t count) {
  return take_received(triga::state_of(Py_TYPE(protocol)).tls, protocol, static_cast<Py_ssize_t>(count));
}

void bind_tls(PyObject* module, const pybind11::kwargs& given) {
  state& types = triga::state_of(module).tls;
  const std::pair<py::ref*, const char*> all[] = {
      {&types.protocol, "protocol"},         {&types.stock_protocol, "stock_protocol"},
      {&types.ssl_object, "ssl_object"},     {&types.memory_bio, "memory_bio"},
      {&types.inner_object, "inner_object"}, {&types.again_errors, "again_errors"},
      {&types.in_handshake, "in_handshake"}, {&types.wrapped, "wrapped"},
      {&types.flushing, "flushing"},         {&types.shutting_down, "shutting_down"},
  };
  for (const auto& [member, name] : all) *member = py::ref::borrow(given[name].ptr());
  types.bio_pending = descriptor_of(types.memory_bio.get(), "pending", &PyGetSetDescr_Type);
  types.bio_read = descriptor_of(types.memory_bio.get(), "read", &PyMethodDescr_Type);
  types.bio_write = descriptor_of(types.memory_bio.get(), "write", &PyMethodDescr_Type);
  types.inner_read = descriptor_of(types.inner_object.get(), "read", &PyMethodDescr_Type);
  types.inner_write = descriptor_of(types.inner_object.get(), "write", &PyMethodDescr_Type);
  const py::ref received_type = make_received_type(module);
  if (received_type) types.received_bytes = py::ref::steal(PyObject_CallNoArgs(received_type.get()));
  if (!types.received_bytes || !make_receive_memory(types) || !types.names.intern()) {
    throw pybind11::error_already_set();
  }
  triga::state_of(module).transports.native_receiver = {
      .type = types.protocol, .memory = receiver_memory, .received = receiver_takes};
}

}  // namespace

bool method_names::intern() {
  const std::pair<py::ref*, const char*> all[] = {
      {&read, "read"},
      {&write, "write"},
      {&pending, "pending"},
      {&inner, "_sslobj"},
      {&do_handshake, "_do_handshake"},
      {&do_flush, "_do_flush"},
      {&do_shutdown, "_do_shutdown"},
      {&do_read_buffered, "_do_read__buffered"},
      {&do_read_copied, "_do_read__copied"},
      {&do_write, "_do_write"},
      {&do_read, "_do_read"},
      {&process_outgoing, "_process_outgoing"},
      {&write_appdata, "_write_appdata"},
      {&control_app_writing, "_control_app_writing"},
      {&control_ssl_reading, "_control_ssl_reading"},
      {&get_buffer, "get_buffer"},
      {&buffer_updated, "buffer_updated"},
      {&call_eof_received, "_call_eof_received"},
      {&start_shutdown, "_start_shutdown"},
      {&fatal_error, "_fatal_error"},
      {&data_received, "data_received"},
      {&ssl_protocol, "_ssl_protocol"},
  };
  for (const auto& [name, text] : all) {
    *name = py::ref::steal(PyUnicode_InternFromString(text));
    if (!*name) return false;
  }
  return true;
}

std::array<py::ref state::*, 19> state::objects() const noexcept {
  return {&state::protocol_base, &state::transport_base, &state::protocol,      &state::stock_protocol,
          &state::ssl_object,    &state::memory_bio,     &state::bio_pending,   &state::bio_read,
          &state::bio_write,     &state::inner_object,   &state::inner_read,    &state::inner_write,
          &state::again_errors,  &state::in_handshake,   &state::wrapped,       &state::flushing,
          &state::shutting_down, &state::received_view,  &state::received_bytes};
}

int state::traverse(visitproc visit, void* arg) const {
  for (const auto each : objects()) Py_VISIT((this->*each).get());
  return 0;
}

void state::clear() {
  for (const auto each : objects()) (this->*each).reset();
}

}  // namespace tls

void register_tls(pybind11::module_& core) {
  tls::state& types = state_of(core.ptr()).tls;
  PyObject* module = core.ptr();  // the function's owner: a reference from it to itself would never go
  types.protocol_base = tls::make_protocol_base(module);
  types.transport_base = tls::make_transport_base(module);
  if (!types.protocol_base || !types.transport_base) throw pybind11::error_already_set();
  core.attr("TlsProtocolBase") = pybind11::reinterpret_borrow<pybind11::object>(types.protocol_base.get());
  core.attr("TlsTransportBase") = pybind11::reinterpret_borrow<pybind11::object>(types.transport_base.get());
  core.def(
      "bind_tls", [module](const pybind11::kwargs& given) { tls::bind_tls(module, given); },
      "Makes the classes of asyncio.sslproto and ssl known to the native half of TLS.");
}

}  // namespace triga
