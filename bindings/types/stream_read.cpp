// SPDX-License-Identifier: MIT
// The StreamReader: read() and its kin, coroutines that take from what was received.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "bindings/py/method.h"
#include "bindings/types/stream_call.h"
#include "bindings/types/stream_coroutine.h"
#include "bindings/types/stream_reader.h"
#include "bindings/types/stream_types.h"
#include "runtime/trace/counters.h"

namespace triga::streams {
namespace {

// ---- steps that the coroutines share

// Null without an exception: the coroutine waits for data.
PyObject* wait_for_data(coroutine_object& self, const char* name) {
  self.resumed = false;
  const py::ref waiter = new_waiter(types_of(self.owner), reader_of(self.owner), name);
  if (waiter) (void)wait_for(self, waiter.get());
  return nullptr;
}

void forget_waiter(coroutine_object& self) {
  if (self.owner != nullptr) Py_CLEAR(reader_of(self.owner).waiter);
}

bool raise_set_exception(const reader_object& reader) {
  PyObject* exception = reader.exception;
  if (exception == nullptr || exception == Py_None) return false;
  if (PyExceptionInstance_Check(exception)) {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception)), exception);
  } else {
    PyErr_SetNone(exception);  // `raise` takes a class, and says what it thinks of the rest
  }
  return true;
}

PyObject* empty_bytes() { return PyBytes_FromStringAndSize(nullptr, 0); }

PyObject* take(reader_object& reader, std::size_t count) {
  trace::count(reader.buffer().passes_through(count) ? trace::counter::stream_passes
                                                     : trace::counter::stream_reads);
  return reader.buffer().take(count);
}

// The end of a read that took `taken`.
PyObject* taken_and_resumed(coroutine_object& self, PyObject* taken) {
  if (taken == nullptr || maybe_resume_transport(types_of(self.owner), reader_of(self.owner))) return taken;
  Py_DECREF(taken);
  return nullptr;
}

void raise_incomplete(const state& types, PyObject* partial, PyObject* expected) {
  const py::ref error = py::ref::steal(
      PyObject_CallFunctionObjArgs(types.incomplete_read_error.get(), partial, expected, nullptr));
  if (error) PyErr_SetObject(types.incomplete_read_error.get(), error.get());
}

// ---- read(n)

PyObject* advance_read(coroutine_object& self) {
  reader_object& reader = reader_of(self.owner);
  if (!self.resumed) {
    if (raise_set_exception(reader)) return nullptr;
    if (self.count == 0) return empty_bytes();
    if (reader.buffer().size() == 0 && reader.eof == 0) return wait_for_data(self, "read");
  }
  const std::size_t count = std::min(static_cast<std::size_t>(self.count), reader.buffer().size());
  return taken_and_resumed(self, take(reader, count));
}

constexpr coroutine_kind read_kind = {"StreamReader.read", advance_read, forget_waiter};

// ---- read(-1): all there is, until the end, so that a transport that was paused for too much data is
// resumed

PyObject* advance_read_all(coroutine_object& self) {
  reader_object& reader = reader_of(self.owner);
  for (;;) {
    if (!self.resumed) {
      if (raise_set_exception(reader)) return nullptr;
      if (reader.buffer().size() == 0 && reader.eof == 0) return wait_for_data(self, "read");
    }
    self.resumed = false;
    const py::ref block = py::ref::steal(taken_and_resumed(self, take(reader, reader.buffer().size())));
    if (!block) return nullptr;
    if (PyBytes_GET_SIZE(block.get()) == 0) break;
    if (PyList_Append(self.argument, block.get()) < 0) return nullptr;
  }
  const py::ref nothing = py::ref::steal(empty_bytes());
  return nothing ? PyObject_CallMethod(nothing.get(), "join", "O", self.argument) : nullptr;
}

constexpr coroutine_kind read_all_kind = {"StreamReader.read", advance_read_all, forget_waiter};

// ---- readexactly(n)

PyObject* advance_readexactly(coroutine_object& self) {
  reader_object& reader = reader_of(self.owner);
  if (!self.resumed) {
    if (self.count < 0) {
      PyErr_SetString(PyExc_ValueError, "readexactly size can not be less than zero");
      return nullptr;
    }
    if (raise_set_exception(reader)) return nullptr;
    if (self.count == 0) return empty_bytes();
  }
  const auto wanted = static_cast<std::size_t>(self.count);
  if (reader.buffer().size() >= wanted) return taken_and_resumed(self, take(reader, wanted));
  if (reader.eof == 0) return wait_for_data(self, "readexactly");
  const py::ref partial = py::ref::steal(take(reader, reader.buffer().size()));
  const py::ref expected = py::ref::steal(PyLong_FromSsize_t(self.count));
  if (partial && expected) raise_incomplete(types_of(self.owner), partial.get(), expected.get());
  return nullptr;
}

constexpr coroutine_kind readexactly_kind = {"StreamReader.readexactly", advance_readexactly, forget_waiter};

// ---- readuntil(separator), readline(), __anext__()

std::string_view bytes_of(PyObject* bytes) noexcept {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

// What a search of the received bytes came to.
struct search_result {
  enum class verdict { found, over_limit_found, over_limit, not_yet, failed } what;
  std::size_t consumed = 0;  // up to the end of the separator; of the two over the limit: bytes without one
};

// The separator that ends first, of `separators`, bytes that are sorted by their length.
struct match {
  std::size_t start = std::string_view::npos;
  std::size_t end = std::string_view::npos;
};

match first_match(std::string_view bytes, PyObject* separators, std::size_t offset) {
  match best;
  for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(separators); ++at) {
    const std::string_view separator = bytes_of(PyTuple_GET_ITEM(separators, at));
    const std::size_t start = bytes.find(separator, offset);
    if (start != std::string_view::npos && start + separator.size() < best.end) {
      best = {.start = start, .end = start + separator.size()};
    }
  }
  return best;
}

search_result search(coroutine_object& self) {
  using enum search_result::verdict;
  reader_object& reader = reader_of(self.owner);
  PyObject* const separators = self.argument;
  const std::size_t shortest = bytes_of(PyTuple_GET_ITEM(separators, 0)).size();
  const std::size_t longest = bytes_of(PyTuple_GET_ITEM(separators, PyTuple_GET_SIZE(separators) - 1)).size();
  std::string_view bytes;
  if (!reader.buffer().in_one_piece(bytes)) return {.what = failed};
  if (bytes.size() < self.offset + shortest) return {.what = not_yet};
  const match where = first_match(bytes, separators, self.offset);
  if (where.start == std::string_view::npos) {
    // The last bytes may be the beginning of a separator.
    self.offset = bytes.size() + 1 > longest ? bytes.size() + 1 - longest : 0;
    return self.offset > reader.low_water ? search_result{over_limit, self.offset} : search_result{not_yet};
  }
  return where.start > reader.low_water ? search_result{over_limit_found, where.start}
                                        : search_result{found, where.end};
}

constexpr const char* not_found_text = "Separator is not found, and chunk exceed the limit";
constexpr const char* too_long_text = "Separator is found, but chunk is longer than limit";

void raise_over_limit(const state& types, const char* text, std::size_t consumed) {
  const py::ref error = py::ref::steal(
      PyObject_CallFunction(types.limit_overrun_error.get(), "sn", text, static_cast<Py_ssize_t>(consumed)));
  if (error) PyErr_SetObject(types.limit_overrun_error.get(), error.get());
}

PyObject* advance_readuntil(coroutine_object& self) {
  using enum search_result::verdict;
  state& types = types_of(self.owner);
  reader_object& reader = reader_of(self.owner);
  if (!self.resumed && raise_set_exception(reader)) return nullptr;
  const search_result result = search(self);
  switch (result.what) {
    case found:
      return taken_and_resumed(self, take(reader, result.consumed));
    case over_limit_found:
      raise_over_limit(types, too_long_text, result.consumed);
      return nullptr;
    case over_limit:
      raise_over_limit(types, not_found_text, result.consumed);
      return nullptr;
    case failed:
      return nullptr;
    case not_yet:
      break;
  }
  if (reader.eof == 0) return wait_for_data(self, "readuntil");
  const py::ref partial = py::ref::steal(take(reader, reader.buffer().size()));
  if (partial) raise_incomplete(types, partial.get(), Py_None);
  return nullptr;
}

constexpr coroutine_kind readuntil_kind = {"StreamReader.readuntil", advance_readuntil, forget_waiter};

// readline() drops a line that is too long, so that the next call can go on.
PyObject* drop_long_line(coroutine_object& self, const char* text, std::size_t count) {
  reader_object& reader = reader_of(self.owner);
  if (reader.buffer().drop(count) && maybe_resume_transport(types_of(self.owner), reader)) {
    PyErr_SetString(PyExc_ValueError, text);
  }
  return nullptr;
}

PyObject* advance_readline(coroutine_object& self) {
  using enum search_result::verdict;
  reader_object& reader = reader_of(self.owner);
  if (!self.resumed && raise_set_exception(reader)) return nullptr;
  const search_result result = search(self);
  switch (result.what) {
    case found:
      return taken_and_resumed(self, take(reader, result.consumed));
    case over_limit_found:
      return drop_long_line(self, too_long_text, result.consumed + 1);
    case over_limit:
      return drop_long_line(self, not_found_text, reader.buffer().size());
    case failed:
      return nullptr;
    case not_yet:
      break;
  }
  return reader.eof == 0 ? wait_for_data(self, "readuntil") : take(reader, reader.buffer().size());
}

constexpr coroutine_kind readline_kind = {"StreamReader.readline", advance_readline, forget_waiter};

PyObject* advance_anext(coroutine_object& self) {
  PyObject* line = advance_readline(self);
  if (line == nullptr || PyBytes_GET_SIZE(line) > 0) return line;
  Py_DECREF(line);
  PyErr_SetNone(PyExc_StopAsyncIteration);
  return nullptr;
}

constexpr coroutine_kind anext_kind = {"StreamReader.__anext__", advance_anext, forget_waiter};

// ---- the methods

// asyncio's own method: for a subclass that has others of the methods it calls, and for arguments that are
// rare or wrong. Its coroutine works on the same fields.
PyObject* by_asyncio(PyObject* self, const py::ref& name, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords) {
  const py::ref method = py::ref::steal(PyObject_GetAttr(types_of(self).stock_reader.get(), name.get()));
  if (!method) return nullptr;
  std::vector<PyObject*> all{self};
  all.insert(all.end(), args, args + count + (keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0));
  return PyObject_Vectorcall(method.get(), all.data(), static_cast<std::size_t>(count + 1), keywords);
}

// Does a subclass have another method of one of these names? -1 with an exception set.
int overrides(PyObject* self, std::initializer_list<const py::ref*> names) {
  const state& types = types_of(self);
  if (is_plain(types.reader, self)) return 0;
  for (const py::ref* name : names) {
    const py::ref own =
        py::ref::steal(PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(self)), name->get()));
    const py::ref native =
        own ? py::ref::steal(PyObject_GetAttr(types.reader.get(), name->get())) : py::ref();
    if (!native) return -1;
    if (own.get() != native.get()) return 1;
  }
  return 0;
}

int overrides_waiting(PyObject* self) {
  const method_names& names = types_of(self).names;
  return overrides(self, {&names.wait_for_data, &names.maybe_resume_transport});
}

// The argument of a method that has one, given by place or by name; null if it was not, or wrongly.
PyObject* only_argument(PyObject* const* args, Py_ssize_t count, PyObject* keywords, const char* name) {
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  if (count + named != 1) return nullptr;
  const bool good = named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), name) == 0;
  return good ? args[0] : nullptr;
}

bool as_count(PyObject* number, Py_ssize_t& count) {
  if (!PyLong_CheckExact(number)) return false;
  count = PyLong_AsSsize_t(number);
  if (count != -1 || PyErr_Occurred() == nullptr) return true;
  PyErr_Clear();
  return false;
}

PyObject* reader_read(PyObject* self, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  state& types = types_of(self);
  PyObject* const number = only_argument(args, given, keywords, "n");
  const bool all = number == nullptr && given == 0 && keywords == nullptr;
  Py_ssize_t count = -1;
  const int replaced = overrides_waiting(self);
  if (replaced < 0) return nullptr;
  if (replaced != 0 || (!all && (number == nullptr || !as_count(number, count)))) {
    return by_asyncio(self, types.names.read, args, given, keywords);
  }
  if (count >= 0) return make_coroutine(types.coroutine.type(), read_kind, self, nullptr, count);
  const int replaces_read = overrides(self, {&types.names.read});
  if (replaces_read != 0)
    return replaces_read < 0 ? nullptr : by_asyncio(self, types.names.read, args, given, keywords);
  const py::ref blocks = py::ref::steal(PyList_New(0));
  return blocks ? make_coroutine(types.coroutine.type(), read_all_kind, self, blocks.get()) : nullptr;
}

PyObject* reader_readexactly(PyObject* self, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  state& types = types_of(self);
  PyObject* const number = only_argument(args, given, keywords, "n");
  Py_ssize_t count = 0;
  const int replaced = overrides_waiting(self);
  if (replaced < 0) return nullptr;
  if (replaced != 0 || number == nullptr || !as_count(number, count)) {
    return by_asyncio(self, types.names.readexactly, args, given, keywords);
  }
  return make_coroutine(types.coroutine.type(), readexactly_kind, self, nullptr, count);
}

// A tuple of bytes objects, none empty, the shortest first; null if `separator` is something else.
py::ref separators_from(PyObject* separator) {
  if (PyBytes_CheckExact(separator)) {
    return PyBytes_GET_SIZE(separator) > 0 ? py::ref::steal(PyTuple_Pack(1, separator)) : py::ref();
  }
  if (PY_VERSION_HEX < 0x030D0000 || !PyTuple_CheckExact(separator)) return {};
  std::vector<PyObject*> all;
  all.reserve(static_cast<std::size_t>(PyTuple_GET_SIZE(separator)));
  for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(separator); ++at)
    all.push_back(PyTuple_GET_ITEM(separator, at));
  const auto unfit = [](PyObject* each) { return !PyBytes_CheckExact(each) || PyBytes_GET_SIZE(each) == 0; };
  if (all.empty() || std::any_of(all.begin(), all.end(), unfit)) return {};
  std::stable_sort(all.begin(), all.end(),
                   [](PyObject* a, PyObject* b) { return PyBytes_GET_SIZE(a) < PyBytes_GET_SIZE(b); });
  py::ref sorted = py::ref::steal(PyTuple_New(static_cast<Py_ssize_t>(all.size())));
  for (std::size_t at = 0; sorted && at < all.size(); ++at) {
    PyTuple_SET_ITEM(sorted.get(), static_cast<Py_ssize_t>(at), Py_NewRef(all[at]));
  }
  return sorted;
}

PyObject* reader_readuntil(PyObject* self, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  state& types = types_of(self);
  PyObject* const separator = only_argument(args, given, keywords, "separator");
  const bool line = separator == nullptr && given == 0 && keywords == nullptr;
  const int replaced = overrides_waiting(self);
  if (replaced < 0) return nullptr;
  py::ref separators;
  if (replaced == 0 && separator != nullptr) separators = separators_from(separator);
  if (replaced == 0 && line) separators = types.newline;
  if (separators) return make_coroutine(types.coroutine.type(), readuntil_kind, self, separators.get());
  if (PyErr_Occurred() != nullptr) return nullptr;
  return by_asyncio(self, types.names.readuntil, args, given, keywords);
}

PyObject* reader_readline(PyObject* self, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  state& types = types_of(self);
  const method_names& names = types.names;
  const int replaced =
      overrides(self, {&names.wait_for_data, &names.maybe_resume_transport, &names.readuntil});
  if (replaced < 0) return nullptr;
  if (replaced != 0 || given != 0 || keywords != nullptr) {
    return by_asyncio(self, names.readline, args, given, keywords);
  }
  return make_coroutine(types.coroutine.type(), readline_kind, self, types.newline.get());
}

}  // namespace

PyObject* reader_anext(PyObject* self) {
  state& types = types_of(self);
  const method_names& names = types.names;
  const int replaced = overrides(
      self, {&names.wait_for_data, &names.maybe_resume_transport, &names.readuntil, &names.readline});
  if (replaced < 0) return nullptr;
  if (replaced != 0) return by_asyncio(self, names.anext, nullptr, 0, nullptr);
  return make_coroutine(types.coroutine.type(), anext_kind, self, types.newline.get());
}

PyMethodDef reading_methods[] = {
    {"read", py::as_method(reader_read), METH_FASTCALL | METH_KEYWORDS, "Reads up to `n` bytes."},
    {"readexactly", py::as_method(reader_readexactly), METH_FASTCALL | METH_KEYWORDS,
     "Reads exactly `n` bytes."},
    {"readuntil", py::as_method(reader_readuntil), METH_FASTCALL | METH_KEYWORDS, "Reads up to a separator."},
    {"readline", py::as_method(reader_readline), METH_FASTCALL | METH_KEYWORDS, "Reads a line."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace triga::streams
