// SPDX-License-Identifier: MIT
#include "runtime/net/write_queue.h"

#include <algorithm>

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
  pieces_.push_back({static_cast<const std::byte*>(data), size, owner});
  bytes_ += size;
}

std::span<iovec> write_queue::gather(std::span<iovec> into) const noexcept {
  const std::size_t count = std::min(into.size(), pieces_.size() - first_);
  for (std::size_t i = 0; i < count; ++i) {
    const piece& each = pieces_[first_ + i];
    // iovec is not const-correct; the kernel only reads here.
    into[i] = {const_cast<std::byte*>(each.data), each.size};
  }
  return into.first(count);
}

void write_queue::consume(std::size_t count) noexcept {
  bytes_ -= count;
  while (count > 0) {
    piece& front = pieces_[first_];
    if (count < front.size) {
      front.data += count;
      front.size -= count;
      break;
    }
    count -= front.size;
    release_(front.owner);
    ++first_;
  }
  forget_sent_pieces();
}

// Amortized constant: the tail is moved only when at least as many pieces before it are gone.
void write_queue::forget_sent_pieces() noexcept {
  if (first_ == pieces_.size()) {
    first_ = 0;
    pieces_.clear();
    if (pieces_.capacity() > pieces_kept) std::vector<piece>().swap(pieces_);
  } else if (first_ >= pieces_kept && first_ >= pieces_.size() - first_) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void write_queue::clear() noexcept {
  for (std::size_t i = first_; i < pieces_.size(); ++i) release_(pieces_[i].owner);
  std::vector<piece>().swap(pieces_);
  first_ = 0;
  bytes_ = 0;
}

}  // namespace triga::net
