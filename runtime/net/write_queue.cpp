// SPDX-License-Identifier: MIT
#include "runtime/net/write_queue.h"

#include <algorithm>
#include <utility>

namespace triga::net {
namespace {

// A drained queue keeps room for this many pieces; what a burst needed beyond goes back to the allocator.
constexpr std::size_t pieces_kept = 16;

}  // namespace

void write_queue::push(const void* data, std::size_t size, void* owner) {
  if (size == 0) {
    release_(owner);
    return;
  }
  if (!contents_) contents_ = std::make_unique<contents>();
  contents_->pieces.push_back({static_cast<const std::byte*>(data), size, owner});
  contents_->bytes += size;
}

std::span<iovec> write_queue::gather(std::span<iovec> into, std::size_t most) const noexcept {
  if (!contents_) return into.first(0);
  const auto& [pieces, first, bytes] = *contents_;
  std::size_t count = 0;
  for (; count < into.size() && first + count < pieces.size() && most > 0; ++count) {
    const piece& each = pieces[first + count];
    const std::size_t size = std::min(each.size, most);
    // iovec is not const-correct; the kernel only reads here.
    into[count] = {const_cast<std::byte*>(each.data), size};
    most -= size;
  }
  return into.first(count);
}

void write_queue::consume(std::size_t count) noexcept {
  if (count == 0) return;
  auto& [pieces, first, bytes] = *contents_;
  bytes -= count;
  while (count > 0) {
    piece& front = pieces[first];
    if (count < front.size) {
      front.data += count;
      front.size -= count;
      break;
    }
    count -= front.size;
    release_(front.owner);
    ++first;
  }
  forget_sent_pieces();
}

// Amortized constant: the tail is moved only when at least as many pieces before it are gone.
void write_queue::forget_sent_pieces() noexcept {
  auto& [pieces, first, bytes] = *contents_;
  if (first == pieces.size()) {
    first = 0;
    pieces.clear();
    if (pieces.capacity() > pieces_kept) contents_.reset();
  } else if (first >= pieces_kept && first >= pieces.size() - first) {
    pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(first));
    first = 0;
  }
}

void write_queue::clear() noexcept {
  const std::unique_ptr<contents> dropped = std::move(contents_);
  if (!dropped) return;
  for (std::size_t i = dropped->first; i < dropped->pieces.size(); ++i) release_(dropped->pieces[i].owner);
}

}  // namespace triga::net
