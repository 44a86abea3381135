// SPDX-License-Identifier: MIT
#include "bindings/native/function.h"

#include <bit>
#include <utility>

#include "bindings/native/argument.h"
#include "runtime/trace/counters.h"

namespace triga {

namespace py11 = pybind11;
using native::kind;

namespace {

struct letter {
  char code;
  kind type;
  Py_ssize_t size;
};
constexpr letter letters[] = {
    {'v', kind::nothing, 0}, {'?', kind::boolean, 1}, {'b', kind::int8, 1},    {'B', kind::uint8, 1},
    {'h', kind::int16, 2},   {'H', kind::uint16, 2},  {'i', kind::int32, 4},   {'I', kind::uint32, 4},
    {'q', kind::int64, 8},   {'Q', kind::uint64, 8},  {'f', kind::float32, 4}, {'d', kind::float64, 8},
    {'P', kind::pointer, 8}, {'z', kind::pointer, 8},
};

const letter& letter_of(char code) {
  for (const letter& each : letters) {
    if (each.code == code) return each;
  }
  throw py11::value_error(std::string("unknown type letter ") + code);
}

}  // namespace

native_type native_type::from(const py11::tuple& given) {
  const auto code = given[1].cast<std::string>();
  const auto element = given[2].cast<std::string>();
  native_type made{.name = given[0].cast<std::string>(), .kind = letter_of(code.at(0)).type};
  made.text = code[0] == 'z';
  made.writable = given[3].cast<bool>();
  if (!element.empty()) {
    made.element_size = letter_of(element[0]).size;
    made.element = made.element_size == 1 ? 'B' : element[0];
  }
  return made;
}

native_function::native_function(std::uintptr_t address, std::string name, const py11::tuple& result,
                                 const py11::list& parameters, std::uintptr_t user_data, py11::object keep)
    : address_(std::bit_cast<const void*>(address)),
      name_(std::move(name)),
      result_(native_type::from(result)),
      user_data_(user_data),
      keep_(std::move(keep)) {
  if (!native::supported) {
    throw py11::type_error("native functions are called on x86-64 and AArch64 only; this machine is neither");
  }
  if (address == 0) throw py11::value_error(name_ + "() is a null pointer");
  for (const py11::handle each : parameters) {
    parameters_.push_back(native_type::from(py11::cast<py11::tuple>(each)));
  }
  check_registers();
}

void native_function::check_registers() const {
  std::size_t integers = 0;
  std::size_t floats = 0;
  for (const native_type& each : parameters_) ++(native::is_float(each.kind) ? floats : integers);
  if (integers > native::most_integers || floats > native::most_floats) {
    PyErr_Format(
        PyExc_TypeError,
        "%s() takes %zu integers and pointers and %zu floating-point numbers; a native call can have "
        "%zu and %zu at most: pass a pointer to a structure",
        name_.c_str(), integers, floats, native::most_integers, native::most_floats);
    throw py11::error_already_set();
  }
}

void native_function::convert(const py11::tuple& given, std::size_t first, Py_ssize_t at_least,
                              native_arguments& to) const {
  const std::size_t wanted = parameters_.size() - first;
  const bool adds_user_data =
      user_data_ != 0 && given.size() + 1 == wanted && parameters_.back().kind == kind::pointer;
  if (given.size() != wanted && !adds_user_data) {
    PyErr_Format(PyExc_TypeError, "%s() takes %zu arguments here, got %zu", name_.c_str(),
                 wanted - (user_data_ != 0 ? 1 : 0), given.size());
    throw py11::error_already_set();
  }
  for (std::size_t at = 0; at < given.size(); ++at) {
    add_argument({name_, first + at + 1}, parameters_[first + at], given[at], at_least, to);
  }
  if (adds_user_data) static_cast<void>(to.registers.add_integer(user_data_));
}

py11::object native_function::box(const native::outcome& from) const {
  const std::uint64_t value = from.integer();
  switch (result_.kind) {
    case kind::nothing:
      return py11::none();
    case kind::boolean:
      return py11::bool_((value & 0xff) != 0);
    case kind::int8:
      return py11::int_(static_cast<std::int8_t>(value));
    case kind::uint8:
      return py11::int_(static_cast<std::uint8_t>(value));
    case kind::int16:
      return py11::int_(static_cast<std::int16_t>(value));
    case kind::uint16:
      return py11::int_(static_cast<std::uint16_t>(value));
    case kind::int32:
      return py11::int_(static_cast<std::int32_t>(value));
    case kind::uint32:
      return py11::int_(static_cast<std::uint32_t>(value));
    case kind::int64:
      return py11::int_(static_cast<std::int64_t>(value));
    case kind::uint64:
      return py11::int_(value);
    case kind::float32:
      return py11::float_(static_cast<double>(from.float32()));
    case kind::float64:
      return py11::float_(from.float64());
    case kind::pointer:
      break;
  }
  if (value == 0) return py11::none();
  if (result_.text) return py11::bytes(std::bit_cast<const char*>(value));
  return py11::int_(value);
}

void native_call::run() noexcept {
  outcome_ = function_->call(arguments_.registers);
  trace::count(trace::counter::native_calls);
}

PyObject* native_call::outcome() {
  try {
    return function_->box(outcome_).release().ptr();
  } catch (py11::error_already_set& error) {
    error.restore();
    return nullptr;
  }
}

}  // namespace triga
