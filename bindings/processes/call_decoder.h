// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <unordered_map>

#include "bindings/processes/global_name.h"
#include "bindings/processes/pickling.h"

namespace triga {

// The worker's end of call_encoder.
class call_decoder {
 public:
  struct call {
    pybind11::object function;
    pybind11::object rest;      // a tuple of arguments or of items
    pybind11::object keywords;  // a dict, None, or nothing
  };
  // Throws error_already_set with what unpickling raised.
  call decode(proc::message& from);

 private:
  pybind11::object function_of(std::string pickle);

  decoder pickles_;
  std::unordered_map<std::string, global_name> known_;
};

}  // namespace triga
