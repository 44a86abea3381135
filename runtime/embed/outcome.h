// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace triga::embed {

// A Python exception as C++ values: nothing of Python is needed to keep it or to look at it.
struct failure {
  std::string type;       // "ZeroDivisionError", "json.decoder.JSONDecodeError"
  std::string message;    // str(exception)
  std::string traceback;  // what the interpreter would print, chained exceptions included
};

// What outcome::value() throws for a failure.
class python_error : public std::runtime_error {
 public:
  explicit python_error(failure what)
      : std::runtime_error(what.type + ": " + what.message), failure_(std::move(what)) {}
  [[nodiscard]] const failure& why() const noexcept { return failure_; }

 private:
  failure failure_;
};

// A value, or the Python exception that came in its place; in the manner of C++23's std::expected.
template <class Value>
class [[nodiscard]] outcome {
 public:
  outcome(Value value) : content_(std::in_place_index<0>, std::move(value)) {}
  outcome(failure error) : content_(std::in_place_index<1>, std::move(error)) {}

  [[nodiscard]] bool has_value() const noexcept { return content_.index() == 0; }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }

  // Requires has_value().
  [[nodiscard]] Value& operator*() & { return std::get<0>(content_); }
  [[nodiscard]] const Value& operator*() const& { return std::get<0>(content_); }
  [[nodiscard]] Value&& operator*() && { return std::get<0>(std::move(content_)); }
  [[nodiscard]] Value* operator->() { return &std::get<0>(content_); }
  [[nodiscard]] const Value* operator->() const { return &std::get<0>(content_); }

  // Requires !has_value().
  [[nodiscard]] const failure& error() const { return std::get<1>(content_); }

  // The value; throws python_error for a failure.
  Value value() && {
    if (!has_value()) throw python_error(std::get<1>(std::move(content_)));
    return std::get<0>(std::move(content_));
  }

 private:
  std::variant<Value, failure> content_;
};

// What a call that returns None gives.
struct none {
  friend bool operator==(none, none) noexcept { return true; }
};

}  // namespace triga::embed
