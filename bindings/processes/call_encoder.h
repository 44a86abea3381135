// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "bindings/processes/global_name.h"
#include "bindings/processes/pickling.h"

namespace triga {

// A call as a message: how its parts lie in the body is in the tag that goes with it.
//
// Most calls of a pool are of one function that pickle sends by name, with small arguments. Such a body is
// the length of the function's pickle (32 bits), that pickle, made once, and the arguments
// (`named_function`), plain where they can be (`plain_rest`). All else is one pickle of everything.
struct call_flag {
  static constexpr std::uint16_t named_function = 0x10;
  static constexpr std::uint16_t plain_rest = 0x20;
  static constexpr std::uint16_t measured = 0x40;  // the answer says what the task took
};

class call_encoder {
 public:
  // `make_pickler(sink)` gives a pickler that writes to a PickleSink; `make_other(error)` gives another such
  // function, for a call that the first one could not pickle because of the error, or None.
  call_encoder(pybind11::object make_pickler, pybind11::object make_other);

  // A call ready to be sent, valid until the next one is encoded: send it before Python runs again.
  struct encoded {
    proc::content content;
    std::uint16_t flags = 0;
    std::size_t size = 0;
    std::optional<encoders::encoded> pickle;
    std::vector<proc::byte_span> body;
  };
  // A call (function, rest) or (function, rest, keywords); without keywords the rest travels apart from the
  // function. Throws error_already_set with what pickling raised.
  encoded encode(PyObject* function, PyObject* rest, PyObject* keywords, bool with_keywords);

 private:
  struct known_function {
    global_name name;
    std::string pickle;
  };
  const std::string* pickle_of(PyObject* function);
  const std::string* remember(PyObject* function);
  void begin(const std::string& function);
  bool encode_fast(encoded& into, PyObject* function, PyObject* rest);
  void encode_split(encoded& into, const std::string& function, PyObject* rest);
  bool encode_otherwise(encoded& into, pybind11::handle whole, const pybind11::error_already_set& error);

  encoders pickles_;
  pybind11::object make_other_;
  std::optional<encoders> other_;
  // All guarded by the GIL.
  std::unordered_map<PyObject*, known_function> known_;
  std::vector<std::byte> buffer_;
};

}  // namespace triga
