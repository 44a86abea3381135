// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"

// Messages with descriptors over a Unix socket that keeps message boundaries (SOCK_SEQPACKET).
namespace triga::proc {

// As many descriptors as the kernel takes in one message (SCM_MAX_FD).
inline constexpr std::size_t most_descriptors = 253;

struct descriptor_message {
  std::size_t size = 0;                // bytes received; 0 is the end of the connection
  std::vector<unique_fd> descriptors;  // close-on-exec
};

// Sends all of `bytes` with copies of at most most_descriptors `descriptors`. Returns 0 or the error; never
// SIGPIPE.
int send_message(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors) noexcept;

// Receives one message into `buffer`. A message that does not fit, or whose descriptors were cut off because
// this process may open no more, is an error (EMSGSIZE, EMFILE); what arrived of it is closed.
result<descriptor_message> receive_message(int socket, std::span<std::byte> buffer);

}  // namespace triga::proc
