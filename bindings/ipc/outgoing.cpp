// SPDX-License-Identifier: MIT
#include "bindings/ipc/outgoing.h"

#include <bit>
#include <cerrno>

#include "bindings/py/errors.h"
#include "bindings/py/gil.h"
#include "bindings/types/new_bytes.h"

namespace triga::ipc {
namespace {

namespace pb = pybind11;

pb::object stolen(PyObject* object) {
  if (object == nullptr) throw pb::error_already_set();
  return pb::reinterpret_steal<pb::object>(object);
}

int read_into(const proc::message& from, void* memory, std::size_t size) {
  const std::span into(static_cast<std::byte*>(memory), size);
  if (size < py::gil_free_copy_from) return from.read_body(into);
  const py::gil_release released;  // `from` is the caller's own; nobody else knows the new object yet
  return from.read_body(into);
}

pb::object bytes_of(const proc::message& from) {
  const std::size_t size = from.body_size();
  pb::object made = stolen(new_bytes(static_cast<Py_ssize_t>(size)));
  if (const int error = read_into(from, PyBytes_AS_STRING(made.ptr()), size)) py::throw_os_error(error);
  return made;
}

pb::object ascii_of(const proc::message& from) {
  const std::size_t size = from.body_size();
  pb::object made = stolen(PyUnicode_New(static_cast<Py_ssize_t>(size), 127));
  auto* const text = static_cast<unsigned char*>(PyUnicode_DATA(made.ptr()));
  if (const int error = read_into(from, text, size)) py::throw_os_error(error);
  for (std::size_t i = 0; i < size; ++i) {
    if (text[i] > 127) {
      PyErr_SetString(PyExc_OSError, "a message in shared memory is damaged: text that is no text");
      throw pb::error_already_set();
    }
  }
  return made;
}

}  // namespace

bool outgoing::is_simple(PyObject* object) {
  if (PyLong_CheckExact(object)) {
    int overflow = 0;
    value_ = static_cast<std::uint64_t>(PyLong_AsLongLongAndOverflow(object, &overflow));
    form_ = form::integer;
    return overflow == 0;
  }
  if (PyBytes_CheckExact(object)) {
    piece_ = std::as_bytes(
        std::span(PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object))));
    form_ = form::bytes;
    return true;
  }
  if (PyUnicode_CheckExact(object)) {
    if (!PyUnicode_IS_ASCII(object)) return false;
    piece_ = {static_cast<const std::byte*>(PyUnicode_DATA(object)),
              static_cast<std::size_t>(PyUnicode_GET_LENGTH(object))};
    form_ = form::ascii;
    return true;
  }
  if (PyFloat_CheckExact(object)) {
    value_ = std::bit_cast<std::uint64_t>(PyFloat_AS_DOUBLE(object));
    form_ = form::real;
    return true;
  }
  if (object != Py_None && object != Py_True && object != Py_False) return false;
  form_ = object == Py_None ? form::none : object == Py_True ? form::yes : form::no;
  return true;
}

outgoing::outgoing(PyObject* object, encoders& encode) {
  if (is_simple(object)) return;
  form_ = form::pickle;
  value_ = 0;
  pickled_.emplace(encode.encode(object));
}

pb::object incoming(proc::message& from, const decoder& decode) {
  switch (form{from.tag}) {
    case form::pickle:
      return decode.decode(from);
    case form::integer:
      return stolen(PyLong_FromLongLong(static_cast<long long>(from.sequence)));
    case form::real:
      return stolen(PyFloat_FromDouble(std::bit_cast<double>(from.sequence)));
    case form::none:
      return pb::none();
    case form::yes:
      return pb::bool_(true);
    case form::no:
      return pb::bool_(false);
    case form::bytes:
      return bytes_of(from);
    case form::ascii:
      return ascii_of(from);
  }
  PyErr_SetString(PyExc_OSError, "a message in shared memory is damaged: it is of no known form");
  throw pb::error_already_set();
}

}  // namespace triga::ipc
