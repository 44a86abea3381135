// SPDX-License-Identifier: MIT
#include "bindings/native/function_loop.h"

#include "runtime/trace/counters.h"

namespace triga {

namespace py11 = pybind11;
using native::kind;

namespace {

bool holds_an_index(kind type) noexcept {
  return type == kind::int64 || type == kind::uint64 || type == kind::int32 || type == kind::uint32;
}

bool narrow(kind type) noexcept { return type == kind::int32 || type == kind::uint32; }

[[noreturn]] void refuse(const native_function& function, const char* why) {
  PyErr_Format(PyExc_TypeError, "%s() cannot be the body of a parallel_for: %s", function.name().c_str(),
               why);
  throw py11::error_already_set();
}

void check_body(const native_function& function, std::uint64_t n) {
  const auto& parameters = function.parameters();
  if (parameters.size() < 2 || !holds_an_index(parameters[0].kind) || !holds_an_index(parameters[1].kind)) {
    refuse(function, "its first two parameters have to be integers, the begin and the end of a range");
  }
  if ((narrow(parameters[0].kind) || narrow(parameters[1].kind)) && n > INT32_MAX) {
    refuse(function, "the loop is longer than its 32-bit parameters can say");
  }
  const kind returns = function.result().kind;
  if (native::is_float(returns) || returns == kind::pointer) {
    refuse(function, "it has to return nothing, or an integer that is 0 when all is well");
  }
}

}  // namespace

class function_loop::call_part final : public native_loop::part {
 public:
  explicit call_part(function_loop& loop) noexcept : loop_(loop), registers_(loop.arguments_.registers) {}

  void run(exec::index_range range) noexcept override {
    registers_.set_integer(0, range.begin);
    registers_.set_integer(1, range.end);
    const native::outcome returned = loop_.function_->call(registers_);
    trace::count(trace::counter::native_ranges);
    loop_.note_failure(range, returned);
  }

 private:
  function_loop& loop_;
  native::arguments registers_;
};

function_loop::function_loop(std::shared_ptr<const native_function> function, std::uint64_t n,
                             std::uint64_t chunk, const py11::tuple& arguments)
    : native_loop(n, chunk), function_(std::move(function)) {
  check_body(*function_, n);
  // Registers for the range, which each call fills in.
  static_cast<void>(arguments_.registers.add_integer(0));
  static_cast<void>(arguments_.registers.add_integer(0));
  function_->convert(arguments, 2, static_cast<Py_ssize_t>(n), arguments_);
}

std::unique_ptr<native_loop::part> function_loop::take_part() { return std::make_unique<call_part>(*this); }

void function_loop::note_failure(exec::index_range range, const native::outcome& returned) noexcept {
  const kind returns = function_->result().kind;
  if (returns == kind::nothing) return;
  // Of a narrow result only the lower part of the register counts.
  const bool is_wide = returns == kind::int64 || returns == kind::uint64;
  const unsigned bits = is_wide                                             ? 64
                        : narrow(returns)                                   ? 32
                        : returns == kind::int16 || returns == kind::uint16 ? 16
                                                                            : 8;
  if ((returned.integer() << (64 - bits)) == 0) return;
  indices().stop();
  const std::lock_guard lock(mutex_);
  if (!failure_ || range.begin < failure_->range.begin) failure_ = {range, returned};
}

py11::object function_loop::failure() const {
  const std::lock_guard lock(mutex_);
  if (!failure_) return py11::none();
  return py11::make_tuple(failure_->range.begin, failure_->range.end, function_->box(failure_->returned));
}

}  // namespace triga
