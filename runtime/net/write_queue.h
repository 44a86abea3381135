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
// destroyed. The release function must not call back into the queue. An empty queue owns no memory, so that
// an idle connection costs nothing here.
class write_queue {
 public:
  using release_function = void (*)(void* owner) noexcept;

  explicit write_queue(release_function release) noexcept : release_(release) {}
  write_queue(const write_queue&) = delete;
  write_queue& operator=(const write_queue&) = delete;
  write_queue(write_queue&&) = delete;
  write_queue& operator=(write_queue&&) = delete;
  ~write_queue() { clear(); }

  [[nodiscard]] bool empty() const noexcept { return bytes() == 0; }
  [[nodiscard]] std::size_t bytes() const noexcept { return contents_ ? contents_->bytes : 0; }

  // Appends a piece. An empty one is released at once: it could never be drained.
  void push(const void* data, std::size_t size, void* owner);

  // Describes the first pieces, as many as fit and at most `most` bytes of them, for sendmsg(2) or writev(2);
  // returns the part of `into` that is filled.
  [[nodiscard]] std::span<iovec> gather(std::span<iovec> into, std::size_t most) const noexcept;

  // Drops the first `count` bytes, at most bytes(): the kernel took them.
  void consume(std::size_t count) noexcept;

  void clear() noexcept;

 private:
  struct piece {
    const std::byte* data;
    std::size_t size;
    void* owner;
  };

  struct contents {
    std::vector<piece> pieces;
    std::size_t first = 0;  // pieces before this one are sent and released
    std::size_t bytes = 0;
  };

  void forget_sent_pieces() noexcept;

  release_function release_;
  std::unique_ptr<contents> contents_;  // made by the first piece: most connections are idle, and many
};

}  // namespace triga::net
