// SPDX-License-Identifier: MIT
#include "bindings/processes/call_decoder.h"

#include <cstring>

#include "bindings/processes/call_encoder.h"
#include "bindings/processes/plain_value.h"

namespace triga {

namespace pb = pybind11;

pb::object call_decoder::function_of(std::string pickle) {
  const auto found = known_.find(pickle);
  if (found != known_.end()) {
    // Looked up by name for each call, as unpickling does: a task may have put another function there.
    if (found->second.still_means_it()) return pb::reinterpret_borrow<pb::object>(found->second.object());
    known_.erase(found);
  }
  pb::object function = pickles_.decode(std::as_bytes(std::span(pickle)));
  if (auto name = global_name::of(function.ptr()))
    known_.insert_or_assign(std::move(pickle), std::move(*name));
  return function;
}

call_decoder::call call_decoder::decode(proc::message& from) {
  if ((from.tag & call_flag::named_function) == 0) {
    const pb::tuple whole = pickles_.decode(from);
    return {whole[0], whole[1], whole.size() > 2 ? pb::object(whole[2]) : pb::none()};
  }
  const proc::byte_span body = body_of(from);
  std::uint32_t length = 0;
  if (body.size() < sizeof length) throw std::runtime_error("the pool's channel to this worker is damaged");
  std::memcpy(&length, body.data(), sizeof length);
  const proc::byte_span parts = body.subspan(sizeof length);
  if (length > parts.size()) throw std::runtime_error("the pool's channel to this worker is damaged");
  pb::object function = function_of({reinterpret_cast<const char*>(parts.data()), length});
  const proc::byte_span rest = parts.subspan(length);
  if ((from.tag & call_flag::plain_rest) == 0)
    return {function, pickles_.decode(rest, from.buffers), pb::none()};
  pb::object plain = pb::reinterpret_steal<pb::object>(read_plain(rest));
  if (!plain) throw pb::error_already_set();
  return {std::move(function), std::move(plain), pb::none()};
}

}  // namespace triga
