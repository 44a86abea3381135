// SPDX-License-Identifier: MIT
#pragma once

#include "runtime/base/unique_fd.h"

namespace triga::proc {

enum class zygote_event {
  request,      // a request waits on the control socket
  connection,   // somebody connected to the listener
  over,         // the parent ended, closed its end or asked for the end: the zygote has to exit
  interrupted,  // a signal handler ran
};

// What a zygote listens to. Its parent's pidfd ends it even where another process has inherited the parent's
// ends of the sockets (a fork of the parent), and even where the parent was killed.
class zygote_server {
 public:
  // Empty descriptors are not listened to. Where `alive` is given, the zygote outlives the control connection
  // and ends when that one is closed.
  zygote_server(unique_fd parent, unique_fd control, unique_fd listener, unique_fd alive) noexcept;

  // Sleeps until something happens.
  zygote_event await() noexcept;

  [[nodiscard]] int control() const noexcept { return control_.get(); }
  [[nodiscard]] int listener() const noexcept { return listener_.get(); }
  void set_control(unique_fd control) noexcept { control_ = std::move(control); }

  // The control connection is at its end or talks nonsense. Returns whether the zygote goes on without it.
  bool drop_control() noexcept;

  // In a clone that is kept ready: listens to its parent and its own control socket only.
  void become_spare(unique_fd control) noexcept;

  // In a clone that has its work: closes all of it.
  void close() noexcept;

 private:
  unique_fd parent_;
  unique_fd control_;
  unique_fd listener_;
  unique_fd alive_;
};

}  // namespace triga::proc
