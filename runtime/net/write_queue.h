// SPDX-License-Identifier: MIT
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace triga::net {

// Memory that waits for the kernel to take it: pieces, each kept alive by an owner, sent in order.
//
// A piece is not copied here. Whoever pushes one hands over one claim on `owner`, which the queue gives back
// through the release function when the last byte of the piece was sent, or when the queue is cleared or
// destroyed. The release function must not call back into the queue.
//
// The first piece lies in the queue itself: mostly there is no other, as an answer is one write.
class write_queue {
 public:
  using release_function = void (*)(void* owner) noexcept;

  explicit write_queue(release_function release) noexcept : release_(release) {}
  write_queue(const write_queue&) = delete;
  write_queue& operator=(const write_queue&) = delete;
  write_queue(write_queue&&) = delete;
  write_queue& operator=(write_queue&&) = delete;
  ~write_queue() { clear(); }

  [[nodiscard]] bool empty() const noexcept { return front_.size == 0; }
  [[nodiscard]] std::size_t bytes() const noexcept { return front_.size + (rest_ ? rest_->bytes : 0); }

  // Appends a piece. An empty one is released at once: it could never be drained.
  void push(const void* data, std::size_t size, void* owner) {
    if (size == 0) {
      release_(owner);
    } else if (empty()) {
      front_ = {static_cast<const std::byte*>(data), size, owner};
    } else {
      push_behind({static_cast<const std::byte*>(data), size, owner});
    }
  }

  // Describes the first pieces, as many as fit and at most `most` bytes of them, for sendmsg(2) or writev(2);
  // returns the part of `into` that is filled.
  [[nodiscard]] std::span<iovec> gather(std::span<iovec> into, std::size_t most) const noexcept;
  // The piece, if there is one and no other; empty otherwise.
  [[nodiscard]] std::span<const std::byte> only_piece() const noexcept {
    return has_rest() ? std::span<const std::byte>() : std::span(front_.data, front_.size);
  }

  // Drops the first `count` bytes, at most bytes(): the kernel took them.
  void consume(std::size_t count) noexcept {
    if (count == front_.size && count != 0 && !has_rest()) return release_front();
    consume_some(count);
  }

  void clear() noexcept;

 private:
  struct piece {
    const std::byte* data;
    std::size_t size;
    void* owner;
  };

  // The pieces behind the first one.
  struct pieces_behind {
    std::vector<piece> pieces;
    std::size_t first = 0;  // those before this one have gone to the front
    std::size_t bytes = 0;
  };

  [[nodiscard]] bool has_rest() const noexcept { return rest_ != nullptr && rest_->bytes != 0; }
  void push_behind(const piece& last);
  void consume_some(std::size_t count) noexcept;
  void take_next_to_front() noexcept;
  void release_front() noexcept {
    front_.size = 0;
    release_(front_.owner);
  }

  release_function release_;
  piece front_{};                        // without bytes: the queue is empty
  std::unique_ptr<pieces_behind> rest_;  // made by the first piece that waits behind another
};

}  // namespace triga::net
