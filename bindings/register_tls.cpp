// SPDX-License-Identifier: MIT
#include <utility>

#include "bindings/module_state.h"
#include "bindings/register.h"
#include "bindings/types/ssl_protocol.h"

namespace triga {
namespace tls {
namespace {

constexpr Py_ssize_t receive_size = 256 * 1024;  // asyncio's SSLProtocol.max_size

void bind_tls(PyObject* module, const pybind11::kwargs& given) {
  state& types = triga::state_of(module).tls;
  const std::pair<py::ref*, const char*> all[] = {
      {&types.protocol, "protocol"},
      {&types.stock_protocol, "stock_protocol"},
      {&types.ssl_object, "ssl_object"},
      {&types.memory_bio, "memory_bio"},
      {&types.again_errors, "again_errors"},
      {&types.in_handshake, "in_handshake"},
      {&types.wrapped, "wrapped"},
      {&types.flushing, "flushing"},
      {&types.shutting_down, "shutting_down"},
  };
  for (const auto& [member, name] : all) *member = py::ref::borrow(given[name].ptr());
  types.received = py::ref::steal(PyByteArray_FromStringAndSize(nullptr, receive_size));
  if (types.received) types.received_view = py::ref::steal(PyMemoryView_FromObject(types.received.get()));
  if (!types.received_view || !types.names.intern()) throw pybind11::error_already_set();
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

int state::traverse(visitproc visit, void* arg) const {
  for (const py::ref* each :
       {&protocol_base, &transport_base, &protocol, &stock_protocol, &ssl_object, &memory_bio, &again_errors,
        &in_handshake, &wrapped, &flushing, &shutting_down, &received_view}) {
    Py_VISIT(each->get());
  }
  return 0;
}

void state::clear() {
  for (py::ref* each : {&protocol_base, &transport_base, &protocol, &stock_protocol, &ssl_object, &memory_bio,
                        &again_errors, &in_handshake, &wrapped, &flushing, &shutting_down, &received_view}) {
    each->reset();
  }
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
