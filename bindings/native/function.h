// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bindings/native/buffer.h"
#include "bindings/native/work.h"
#include "runtime/native/call.h"

namespace triga {

// One parameter of a native function, or its result.
struct native_type {
  std::string name;  // as the user wrote it, for messages
  native::kind kind = native::kind::nothing;
  // Of a pointer: the letter of the element's type (as in module struct), 'B' for a byte of any type, or 0
  // for an element of any type; its size; and whether the function may write there.
  char element = 0;
  Py_ssize_t element_size = 0;
  bool writable = false;
  bool text = false;  // a result: const char*, which becomes bytes

  // From what triga/_native/signatures.py makes: (name, letter, element, writable).
  static native_type from(const pybind11::tuple& given);
};

// Arguments that were checked and converted, with the buffers that they point to.
struct native_arguments {
  native::arguments registers;
  std::vector<held_buffer> buffers;
  std::vector<pybind11::object> kept;
};

// A function of native code, with the types that it takes.
class native_function {
 public:
  // `user_data`: the last argument, if that is a void* and the caller gives one less. `keep` is kept alive.
  // Throws what the Python function NativeFunction() raises: TypeError for what cannot be called.
  native_function(std::uintptr_t address, std::string name, const pybind11::tuple& result,
                  const pybind11::list& parameters, std::uintptr_t user_data, pybind11::object keep);

  // Checks and converts `given` for the parameters from number `first` on. `at_least`: how many elements a
  // typed buffer must have along its first dimension. Throws error_already_set.
  void convert(const pybind11::tuple& given, std::size_t first, Py_ssize_t at_least,
               native_arguments& to) const;

  // Without the GIL.
  [[nodiscard]] native::outcome call(const native::arguments& registers) const noexcept {
    return native::call(address_, registers, result_.kind);
  }

  // What call() returned as a Python object.
  [[nodiscard]] pybind11::object box(const native::outcome& from) const;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const native_type& result() const noexcept { return result_; }
  [[nodiscard]] const std::vector<native_type>& parameters() const noexcept { return parameters_; }

 private:
  void check_registers() const;

  const void* address_;
  std::string name_;
  native_type result_;
  std::vector<native_type> parameters_;
  std::uintptr_t user_data_;
  pybind11::object keep_;
};

// One call, queued by submit_native().
class native_call final : public native_work {
 public:
  native_call(std::shared_ptr<const native_function> function, const pybind11::tuple& arguments)
      : function_(std::move(function)) {
    function_->convert(arguments, 0, 0, arguments_);
  }
  void run() noexcept override;
  PyObject* outcome() override;

 private:
  const std::shared_ptr<const native_function> function_;
  native_arguments arguments_;
  native::outcome outcome_;
};

}  // namespace triga
