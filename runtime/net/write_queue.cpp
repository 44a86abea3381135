// SPDX-License-Identifier: MIT
#include "runtime/net/write_queue.h"

#include <algorithm>
#include <utility>

namespace triga::net {
namespace {

// A drained queue keeps room for this many pieces; what a burst needed beyond goes back to the allocator.
constexpr std::size_t pieces_kept = 16;

}  // namespace

void write_queue::push_behind(const piece& last) {
  if (!rest_) rest_ = std::make_unique<pieces_behind>();
  rest_->pieces.push_back(last);
  rest_->bytes += last.size;
}

std::span<iovec> write_queue::gather(std::span<iovec> into, std::size_t most) const noexcept {
  std::size_t count = 0;
  const auto add = [&](const piece& each) {
    const std::size_t size = std::min(each.size, most);
    if (count == into.size() || size == 0) return false;
    // iovec is not const-correct; the kernel only reads here.
    into[count++] = {const_cast<std::byte*>(each.data), size};
    most -= size;
    return true;
  };
  bool more = add(front_) && has_rest();
  for (std::size_t at = more ? rest_->first : 0; more && at < rest_->pieces.size(); ++at) {
    more = add(rest_->pieces[at]);
  }
  return into.first(count);
}

void write_queue::consume_some(std::size_t count) noexcept {
  while (count > 0) {
    if (count < front_.size) {
      front_.data += count;
      front_.size -= count;
      return;
    }
    count -= front_.size;
    release_front();
    if (has_rest()) take_next_to_front();
  }
}

// Amortized constant: the tail is moved only when at least as many pieces before it are gone.
void write_queue::take_next_to_front() noexcept {
  auto& [pieces, first, bytes] = *rest_;
  front_ = pieces[first++];
  bytes -= front_.size;
  if (first == pieces.size()) {
    first = 0;
    pieces.clear();
    if (pieces.capacity() > pieces_kept) rest_.reset();
  } else if (first >= pieces_kept && first >= pieces.size() - first) {
    pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(first));
    first = 0;
  }
}

void write_queue::clear() noexcept {
  const std::unique_ptr<pieces_behind> dropped = std::move(rest_);
  if (!empty()) release_front();
  if (!dropped) return;
  for (std::size_t i = dropped->first; i < dropped->pieces.size(); ++i) release_(dropped->pieces[i].owner);
}

}  // namespace triga::net
