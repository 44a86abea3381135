// SPDX-License-Identifier: MIT
#include "bindings/processes/plain_value.h"

#include <cstdint>
#include <cstring>

#include "bindings/py/ref.h"

namespace triga {
namespace {

// What is longer is pickle's: it takes no longer for each byte.
constexpr Py_ssize_t longest_text = 1024;
constexpr Py_ssize_t most_items = 4096;
constexpr std::size_t largest = 32 * 1024;
constexpr int deepest = 4;

enum class value_kind : std::uint8_t { none, yes, no, integer, real, text, octets, tuple, list };

class writer {
 public:
  explicit writer(std::vector<std::byte>& to) noexcept : to_(to), end_(to.size() + largest) {}

  bool value(PyObject* what, int depth) {
    if (what == Py_None) return put(value_kind::none);
    if (what == Py_True) return put(value_kind::yes);
    if (what == Py_False) return put(value_kind::no);
    if (PyLong_CheckExact(what)) return integer(what);
    if (PyFloat_CheckExact(what)) return put(value_kind::real) && put(PyFloat_AS_DOUBLE(what));
    // Only ASCII is there as UTF-8 already; for others the object would have to keep a second copy.
    if (PyUnicode_CheckExact(what) && PyUnicode_IS_COMPACT_ASCII(what))
      return text(value_kind::text, PyUnicode_1BYTE_DATA(what), PyUnicode_GET_LENGTH(what));
    if (PyBytes_CheckExact(what))
      return text(value_kind::octets, PyBytes_AS_STRING(what), PyBytes_GET_SIZE(what));
    if (PyTuple_CheckExact(what))
      return items(value_kind::tuple, &PyTuple_GET_ITEM(what, 0), PyTuple_GET_SIZE(what), depth);
    // A list below the top could be in the value twice.
    if (depth == 0 && PyList_CheckExact(what))
      return items(value_kind::list, reinterpret_cast<PyListObject*>(what)->ob_item, PyList_GET_SIZE(what),
                   depth);
    return false;
  }

 private:
  template <class T>
  bool put(T plain) {
    const auto bytes = std::as_bytes(std::span<const T, 1>(&plain, 1));
    to_.insert(to_.end(), bytes.begin(), bytes.end());
    return to_.size() <= end_;
  }
  bool integer(PyObject* what) {
    int overflow = 0;
    const std::int64_t number = PyLong_AsLongLongAndOverflow(what, &overflow);
    return overflow == 0 && put(value_kind::integer) && put(number);
  }
  bool text(value_kind which, const void* data, Py_ssize_t size) {
    if (size > longest_text || !put(which) || !put(static_cast<std::uint32_t>(size))) return false;
    const auto* const bytes = static_cast<const std::byte*>(data);
    to_.insert(to_.end(), bytes, bytes + size);
    return to_.size() <= end_;
  }
  bool items(value_kind which, PyObject* const* first, Py_ssize_t count, int depth) {
    if (depth == deepest || count > most_items || !put(which) || !put(static_cast<std::uint32_t>(count)))
      return false;
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (!value(first[i], depth + 1)) return false;
    }
    return true;
  }

  std::vector<std::byte>& to_;
  const std::size_t end_;
};

PyObject* nonsense() {
  const py::ref pickle = py::ref::steal(PyImport_ImportModule("pickle"));
  const py::ref error =
      py::ref::steal(pickle ? PyObject_GetAttrString(pickle.get(), "UnpicklingError") : nullptr);
  if (error) PyErr_SetString(error.get(), "a process pool's message holds no value: the channel is damaged");
  return nullptr;
}

class reader {
 public:
  explicit reader(std::span<const std::byte> from) noexcept : left_(from) {}

  PyObject* value(int depth) {
    value_kind which{};
    if (!get(which)) return nonsense();
    switch (which) {
      case value_kind::none:
        return Py_NewRef(Py_None);
      case value_kind::yes:
        return Py_NewRef(Py_True);
      case value_kind::no:
        return Py_NewRef(Py_False);
      case value_kind::integer: {
        std::int64_t number = 0;
        return get(number) ? PyLong_FromLongLong(number) : nonsense();
      }
      case value_kind::real: {
        double number = 0;
        return get(number) ? PyFloat_FromDouble(number) : nonsense();
      }
      case value_kind::text:
      case value_kind::octets:
        return text(which);
      case value_kind::tuple:
      case value_kind::list:
        if (depth < deepest) return items(which, depth);
    }
    return nonsense();
  }
  [[nodiscard]] bool at_end() const noexcept { return left_.empty(); }

 private:
  template <class T>
  bool get(T& plain) noexcept {
    if (left_.size() < sizeof plain) return false;
    std::memcpy(&plain, left_.data(), sizeof plain);
    left_ = left_.subspan(sizeof plain);
    return true;
  }
  PyObject* text(value_kind which) {
    std::uint32_t size = 0;
    if (!get(size) || size > left_.size()) return nonsense();
    const char* const bytes = reinterpret_cast<const char*>(left_.data());
    left_ = left_.subspan(size);
    if (which == value_kind::octets) return PyBytes_FromStringAndSize(bytes, size);
    return PyUnicode_DecodeASCII(bytes, size, nullptr);
  }
  PyObject* items(value_kind which, int depth) {
    std::uint32_t count = 0;
    if (!get(count) || count > left_.size()) return nonsense();
    py::ref made = py::ref::steal(which == value_kind::tuple ? PyTuple_New(count) : PyList_New(count));
    if (!made) return nullptr;
    for (std::uint32_t i = 0; i < count; ++i) {
      PyObject* const item = value(depth + 1);
      if (item == nullptr) return nullptr;
      if (which == value_kind::tuple) {
        PyTuple_SET_ITEM(made.get(), i, item);
      } else {
        PyList_SET_ITEM(made.get(), i, item);
      }
    }
    return made.release();
  }

  std::span<const std::byte> left_;
};

}  // namespace

bool append_plain(std::vector<std::byte>& to, PyObject* value) {
  const std::size_t start = to.size();
  if (writer(to).value(value, 0)) return true;
  to.resize(start);
  return false;
}

PyObject* read_plain(std::span<const std::byte> from) {
  reader source(from);
  py::ref value = py::ref::steal(source.value(0));
  if (value && !source.at_end()) return nonsense();
  return value.release();
}

}  // namespace triga
