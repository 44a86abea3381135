// SPDX-License-Identifier: MIT
#include "bindings/processes/call_encoder.h"

#include <cstring>
#include <string_view>

#include "bindings/processes/plain_value.h"

namespace triga {
namespace {

namespace pb = pybind11;

constexpr std::size_t most_functions = 64;
// STACK_GLOBAL, MEMOIZE, STOP: the pickle of a name and nothing else.
constexpr std::string_view name_only = "\x93\x94.";

}  // namespace

call_encoder::call_encoder(pb::object make_pickler, pb::object make_other)
    : pickles_(std::move(make_pickler)), make_other_(std::move(make_other)) {}

const std::string* call_encoder::pickle_of(PyObject* function) {
  const auto found = known_.find(function);
  if (found == known_.end()) return remember(function);
  if (found->second.name.still_means_it()) return &found->second.pickle;
  known_.erase(found);
  return nullptr;  // pickle says what is wrong with it
}

const std::string* call_encoder::remember(PyObject* function) {
  auto name = global_name::of(function);
  if (!name) return nullptr;
  std::string text;
  {
    const auto pickle = pickles_.encode(function);
    for (const auto& piece : pickle.content().body)
      text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  if (!std::string_view(text).ends_with(name_only)) return nullptr;  // somebody's own way to pickle functions
  if (known_.size() == most_functions) known_.clear();
  return &known_.insert_or_assign(function, known_function{std::move(*name), std::move(text)})
              .first->second.pickle;
}

void call_encoder::begin(const std::string& function) {
  const auto length = static_cast<std::uint32_t>(function.size());
  buffer_.resize(sizeof length + length);
  std::memcpy(buffer_.data(), &length, sizeof length);
  std::memcpy(buffer_.data() + sizeof length, function.data(), length);
}

// A call that needs no pickler: false, and nothing is done, if this is none.
bool call_encoder::encode_fast(encoded& into, PyObject* function, PyObject* rest) {
  const auto found = known_.find(function);
  if (found == known_.end() || !found->second.name.still_means_it()) return false;
  begin(found->second.pickle);
  if (!append_plain(buffer_, rest)) return false;
  into.flags = call_flag::named_function | call_flag::plain_rest;
  into.body.emplace_back(buffer_);
  into.size = buffer_.size();
  into.content = {.body = into.body, .buffers = {}};
  return true;
}

void call_encoder::encode_split(encoded& into, const std::string& function, PyObject* rest) {
  // Pickling may run any code: another call through here, and the end of the entry.
  const std::string kept(function.data(), function.size());
  into.flags = call_flag::named_function;
  into.pickle.emplace(pickles_.encode(rest));
  begin(kept);
  const proc::content given = into.pickle->content();
  into.body.emplace_back(buffer_);
  into.body.insert(into.body.end(), given.body.begin(), given.body.end());
  into.size = buffer_.size() + into.pickle->size();
  into.content = {.body = into.body, .buffers = given.buffers};
}

// By the other pickler, after the first one has failed; false if there is none for this.
bool call_encoder::encode_otherwise(encoded& into, pb::handle whole, const pb::error_already_set& error) {
  if (make_other_.is_none() || !error.matches(PyExc_Exception)) return false;
  // Gives what makes the pickler, or None; adds to the error what it would take.
  const pb::object make = make_other_(error.value());
  if (make.is_none()) return false;
  if (!other_) other_.emplace(make);
  into.flags = 0;
  into.body.clear();
  into.pickle.emplace(other_->encode(whole));
  into.content = into.pickle->content();
  into.size = into.pickle->size();
  return true;
}

call_encoder::encoded call_encoder::encode(PyObject* function, PyObject* rest, PyObject* keywords,
                                           bool with_keywords) {
  encoded made;
  const bool no_keywords = keywords == nullptr || keywords == Py_None ||
                           (PyDict_CheckExact(keywords) && PyDict_GET_SIZE(keywords) == 0);
  if (no_keywords && PyTuple_CheckExact(rest) && encode_fast(made, function, rest)) return made;
  const auto whole = [&]() -> pb::object {
    if (!with_keywords) return pb::make_tuple(pb::handle(function), pb::handle(rest));
    return pb::make_tuple(pb::handle(function), pb::handle(rest),
                          no_keywords ? pb::none() : pb::reinterpret_borrow<pb::object>(keywords));
  }();
  try {
    const std::string* const pickle = no_keywords && PyTuple_CheckExact(rest) ? pickle_of(function) : nullptr;
    if (pickle != nullptr) {
      encode_split(made, *pickle, rest);
    } else {
      made.pickle.emplace(pickles_.encode(whole));
      made.content = made.pickle->content();
      made.size = made.pickle->size();
    }
  } catch (pb::error_already_set& error) {
    if (!encode_otherwise(made, whole, error)) throw;
  }
  return made;
}

}  // namespace triga
