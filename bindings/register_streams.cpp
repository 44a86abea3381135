// SPDX-License-Identifier: MIT
#include <utility>

#include "bindings/module_state.h"
#include "bindings/register.h"
#include "bindings/types/function_like.h"
#include "bindings/types/stream_coroutine.h"
#include "bindings/types/stream_protocol.h"
#include "bindings/types/stream_reader.h"
#include "bindings/types/stream_writer.h"

namespace triga {
namespace streams {
namespace {

void bind_streams(PyObject* module, const pybind11::kwargs& given) {
  state& types = triga::state_of(module).streams;
  const std::pair<py::ref*, const char*> all[] = {
      {&types.reader, "reader"},
      {&types.writer, "writer"},
      {&types.protocol, "protocol"},
      {&types.stock_reader, "stock_reader"},
      {&types.stock_writer, "stock_writer"},
      {&types.incomplete_read_error, "incomplete_read_error"},
      {&types.limit_overrun_error, "limit_overrun_error"},
      {&types.default_limit, "default_limit"},
  };
  for (const auto& [member, name] : all) *member = py::ref::borrow(given[name].ptr());
  types.asserts = given["asserts"].cast<bool>();
  types.newline = py::ref::steal(Py_BuildValue("(y)", "\n"));
  if (!types.newline || !types.names.intern()) throw pybind11::error_already_set();
}

}  // namespace

bool method_names::intern() {
  const std::pair<py::ref*, const char*> all[] = {
      {&cancelled, "cancelled"},
      {&set_result, "set_result"},
      {&set_exception, "set_exception"},
      {&create_future, "create_future"},
      {&get_debug, "get_debug"},
      {&pause_reading, "pause_reading"},
      {&resume_reading, "resume_reading"},
      {&is_closing, "is_closing"},
      {&write, "write"},
      {&writelines, "writelines"},
      {&write_eof, "write_eof"},
      {&can_write_eof, "can_write_eof"},
      {&close, "close"},
      {&get_extra_info, "get_extra_info"},
      {&exception, "exception"},
      {&feed_data, "feed_data"},
      {&drain_helper, "_drain_helper"},
      {&get_close_waiter, "_get_close_waiter"},
      {&init, "__init__"},
      {&read, "read"},
      {&readline, "readline"},
      {&readuntil, "readuntil"},
      {&readexactly, "readexactly"},
      {&anext, "__anext__"},
      {&wait_for_data, "_wait_for_data"},
      {&maybe_resume_transport, "_maybe_resume_transport"},
  };
  for (const auto& [name, text] : all) {
    *name = py::ref::steal(PyUnicode_InternFromString(text));
    if (!*name) return false;
  }
  return true;
}

int state::traverse(visitproc visit, void* arg) const {
  for (const py::ref* each :
       {&reader_base, &writer_base, &protocol_base, &coroutine, &function_like, &reader, &writer, &protocol,
        &stock_reader, &stock_writer, &incomplete_read_error, &limit_overrun_error}) {
    Py_VISIT(each->get());
  }
  return 0;
}

void state::clear() {
  for (py::ref* each :
       {&reader_base, &writer_base, &protocol_base, &coroutine, &function_like, &reader, &writer, &protocol,
        &stock_reader, &stock_writer, &incomplete_read_error, &limit_overrun_error}) {
    each->reset();
  }
}

}  // namespace streams

void register_streams(pybind11::module_& core) {
  streams::state& types = state_of(core.ptr()).streams;
  PyObject* module = core.ptr();  // the function's owner: a reference from it to itself would never go
  types.reader_base = streams::make_reader_base(module);
  types.writer_base = streams::make_writer_base(module);
  types.protocol_base = streams::make_protocol_base(module);
  types.coroutine = streams::make_coroutine_type(module);
  types.function_like = streams::make_function_like_type(module);
  const std::pair<const char*, const py::ref*> all[] = {
      {"StreamReaderBase", &types.reader_base},     {"StreamWriterBase", &types.writer_base},
      {"StreamProtocolBase", &types.protocol_base}, {"StreamCoroutine", &types.coroutine},
      {"FunctionLike", &types.function_like},
  };
  for (const auto& [name, type] : all) {
    if (!*type) throw pybind11::error_already_set();
    core.attr(name) = pybind11::reinterpret_borrow<pybind11::object>(type->get());
  }
  core.def(
      "bind_streams", [module](const pybind11::kwargs& given) { streams::bind_streams(module, given); },
      "Makes asyncio's stream classes and triga's known to each other.");
}

}  // namespace triga
