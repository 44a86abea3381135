// SPDX-License-Identifier: MIT
#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <variant>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/base/fork_generation.h"
#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/io/readiness_flag.h"

namespace triga::io {

using status = result<std::monostate>;

// Is told that its descriptor is ready. Must outlive its registration. on_ready() may run Python code, so it
// may throw (a thread that asks for the GIL after finalization began is unwound), add and remove watchers,
// and close descriptors, its own included.
class watcher {
 public:
  virtual void on_ready(std::uint32_t epoll_events) = 0;

 protected:
  ~watcher() = default;
};

// Readiness of descriptors, by epoll. One thread owns a poller.
//
// The problem: between the kernel's report and the call, an earlier watcher of the same batch may have
// removed this one, closed its descriptor, or had the number given to a new descriptor with a new watcher. So
// an event carries the descriptor and the generation of its registration, and is dropped unless that
// registration still stands.
//
// A forked child shares the parent's epoll through its descriptor, and a change by the child would change
// what the parent waits for. So the first use in a child makes a new epoll with the same registrations.
class poller {
 public:
  // Throws std::system_error if the kernel gives no epoll.
  static poller make();

  poller(poller&&) noexcept = default;
  poller& operator=(poller&&) noexcept = default;
  poller(const poller&) = delete;
  poller& operator=(const poller&) = delete;
  ~poller() = default;

  // Watches fd for `events` (EPOLLIN, EPOLLOUT, EPOLLET...). Replaces the registration that fd has, if any.
  // Fails with EPERM for what is always ready (regular files, directories) and EBADF for what is not open.
  status add(int fd, std::uint32_t events, watcher& who);
  // Changes events or watcher of a registered fd; ENOENT if it is not registered. An event that the current
  // batch holds for it goes to the new watcher.
  status modify(int fd, std::uint32_t events, watcher& who);
  // Forgets fd: its watcher is not called again, not even for an event already reported. Call it before
  // closing fd; after it, a description that a duplicate keeps open costs a rebuild of the epoll. False if fd
  // was not registered.
  bool remove(int fd) noexcept;

  // Forgets every registration and closes the epoll. Nothing can be added afterwards (EBADF). May be called
  // twice.
  void close() noexcept;

  [[nodiscard]] bool watches(int fd) const noexcept { return find(fd) != nullptr; }
  // Is fd registered for all of `events`, and for this watcher?
  [[nodiscard]] bool is_registered(int fd, std::uint32_t events, const watcher& who) const noexcept {
    const entry* found = find(fd);
    return found != nullptr && found->who == &who && (found->events & events) == events;
  }
  // The events that fd is registered for; 0 if it is not.
  [[nodiscard]] std::uint32_t events_of(int fd) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return registered_; }
  // The epoll's own descriptor: readable when an event waits.
  [[nodiscard]] int fd() const noexcept { return epoll_.get(); }

  // Waits in the kernel until a descriptor is ready or the deadline has come (time_point::min(): does not
  // wait) and returns how many events it has for dispatch(). Fails with EINTR after a signal. Touches no
  // watcher, so the caller may hold no lock (no GIL) meanwhile. Not to be called while undispatched events
  // remain.
  result<std::size_t> wait(time_point deadline);

  // True if it is known without a system call that wait() would find nothing. It becomes known after many
  // waits in a row that did not wait and found nothing: see readiness_flag.
  [[nodiscard]] bool is_quiet() const noexcept {
    return flag_ != nullptr && flag_->quiet() && fork_generation_ == triga::fork_generation();
  }
  // Does the flag behind is_quiet() exist just now?
  [[nodiscard]] bool has_flag() const noexcept { return flag_ != nullptr; }

  // The turns of the loop that has this poller: what is allowed once a turn goes by their number.
  void begin_turn() noexcept { ++turn_; }
  [[nodiscard]] std::uint32_t turn() const noexcept { return turn_; }

  // Calls the watchers of the events that wait() brought, until all are told, stop_dispatch() is called, or
  // one throws; the events left over stay for the next call. Returns how many watchers were called.
  std::size_t dispatch();
  void stop_dispatch() noexcept { stopped_ = true; }
  [[nodiscard]] bool has_undispatched() const noexcept { return next_ < filled_; }

 private:
  struct entry {
    watcher* who = nullptr;
    std::uint32_t events = 0;
    std::uint32_t generation = 0;
  };

  explicit poller(unique_fd epoll);

  [[nodiscard]] const entry* find(int fd) const noexcept;
  [[nodiscard]] entry* find(int fd) noexcept { return const_cast<entry*>(std::as_const(*this).find(fd)); }
  status control(int operation, int fd, const entry& wanted) const;
  void own_after_fork();
  void rebuild();
  void note_found(std::size_t count);
  void note_waited() noexcept;

  unique_fd epoll_;
  std::deque<entry> entries_;  // by descriptor; grows without a copy, and without holes in the heap
  std::size_t registered_ = 0;
  std::uint32_t last_generation_ = 0;
  std::uint32_t fork_generation_ = 0;
  std::uint32_t turn_ = 0;

  std::unique_ptr<readiness_flag> flag_;  // of epoll_; made by a poller that is kept busy
  unsigned empty_waits_ = 0;              // in a row that did not wait and found nothing
  unsigned waits_ = 0;                    // in a row that did wait

  std::vector<epoll_event> batch_;
  std::size_t next_ = 0;    // the first undispatched event of batch_
  std::size_t filled_ = 0;  // how many events wait() brought
  bool removed_since_wait_ = false;
  bool stopped_ = false;
};

}  // namespace triga::io
