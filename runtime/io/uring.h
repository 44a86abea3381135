// SPDX-License-Identifier: MIT
#pragma once

#include <linux/io_uring.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "runtime/base/unique_fd.h"

namespace triga::io {

// One io_uring by its system calls: entries are prepared, submitted, and their completions reaped. One thread
// at a time uses it.
//
// A ring may be without a descriptor (Linux 6.5): the kernel keeps it in a table of the thread that made it,
// and only that thread can use it. A program that counts its descriptors does not see it, and a forked child
// has no part in it. It goes with its thread where it is destroyed in another.
class uring {
 public:
  struct options {
    unsigned entries = 2;
    unsigned flags = 0;  // IORING_SETUP_*
    bool without_descriptor = false;
  };

  // False if TRIGA_IO=epoll forbids every use of io_uring.
  static bool allowed() noexcept;

  // Null if the kernel refuses; errno says why.
  static std::unique_ptr<uring> make(options wanted) noexcept;

  uring(const uring&) = delete;
  uring& operator=(const uring&) = delete;
  uring(uring&&) = delete;
  uring& operator=(uring&&) = delete;
  ~uring();

  // In a process that inherited the memory of a ring without a descriptor, but not the ring: its end takes
  // nothing else down.
  void disown() noexcept { number_ = -1; }

  // To be watched for completions (readable); -1 for a ring without a descriptor.
  [[nodiscard]] int fd() const noexcept { return descriptor_.get(); }

  // Does the kernel know the operation? Never before Linux 5.6, which cannot tell.
  [[nodiscard]] bool supports(std::uint8_t operation) const;

  // Pins that memory, as long as the ring is there or until the next call; none unpins. False with errno set,
  // and nothing is pinned. In the thread that made the ring.
  bool register_buffers(std::span<const iovec> buffers) noexcept;

  // The next entry to fill in, zeroed. Null: submit() first. What was prepared and not submitted goes along
  // with the next submit().
  [[nodiscard]] io_uring_sqe* try_entry() noexcept;
  // In the thread that made the ring.
  [[nodiscard]] bool made_here() const noexcept;
  // Hands the prepared entries to the kernel and has it do what it has put off. False with errno set; the
  // entries stay prepared. EBADF: no descriptor, and another thread. Waits until there are `completions`.
  bool submit(unsigned completions = 0) noexcept;
  // Does the next submit() have entries to hand over?
  [[nodiscard]] bool has_prepared() const noexcept { return prepared_ != 0; }

  // True if a completion waits in memory, or the kernel has one to be asked for by submit().
  [[nodiscard]] bool has_completions() const noexcept;
  // Calls each(user_data, result) for every completion in memory. `each` may prepare and submit entries.
  template <class Each>
  void reap(Each each) {
    for (unsigned head = word(completion_.head); head != acquire(word(completion_.tail));) {
      const io_uring_cqe done = completion(head);
      release(word(completion_.head), ++head);  // before the call: a nested reap() goes on behind it
      each(done.user_data, done.res);
      head = word(completion_.head);
    }
  }

 private:
  uring() = default;

  static unsigned acquire(unsigned& word) noexcept;
  static void release(unsigned& word, unsigned value) noexcept;

  bool set_up(const options& wanted) noexcept;
  bool map_own_memory(io_uring_params& given) noexcept;
  bool map_shared(const io_uring_params& given) noexcept;
  [[nodiscard]] long call_register(unsigned operation, const void* argument, unsigned count) const noexcept;
  [[nodiscard]] unsigned& word(std::uint32_t offset) const noexcept {
    return *reinterpret_cast<unsigned*>(static_cast<char*>(rings_) + offset);
  }
  [[nodiscard]] const io_uring_cqe& completion(unsigned at) const noexcept {
    auto* all = reinterpret_cast<io_uring_cqe*>(static_cast<char*>(rings_) + completion_.cqes);
    return all[at & word(completion_.ring_mask)];
  }

  unique_fd descriptor_;
  int number_ = -1;          // of the descriptor, or in the thread's table
  std::uint64_t maker_ = 0;  // the thread in whose table it is, if it has no descriptor
  void* rings_ = nullptr;    // the mapping of both queues
  std::size_t rings_size_ = 0;
  io_uring_sqe* entries_ = nullptr;  // the mapping of the submission entries
  std::size_t entries_size_ = 0;
  io_sqring_offsets submission_{};
  io_cqring_offsets completion_{};
  unsigned prepared_ = 0;
};

}  // namespace triga::io
