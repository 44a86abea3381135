// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/unique_fd.h"
#include "runtime/proc/process_traits.h"

// What goes between a process and its zygote. The process asks for a clone and gives it a socket; the zygote
// answers with the clone's pidfd. The clone waits at its socket for the request that says what it shall have,
// which may come at once or much later. Both ends are of one build and one machine.
namespace triga::proc {

// In the place of a descriptor's number: the clone may get it under any.
inline constexpr int any_number = -1;

struct start_request {
  // Empty: the clone keeps the zygote's.
  std::optional<inherited_traits> traits;
  std::vector<int> targets;            // the number that each descriptor has to have in the clone
  std::vector<unique_fd> descriptors;  // as many
};

struct start_answer {
  pid_t pid = 0;
  unique_fd pidfd;
};

// Sends a request, in as many messages as the descriptors need. Returns 0 or the error.
int send_request(int socket, const std::optional<inherited_traits>& traits, std::span<const int> descriptors,
                 std::span<const int> targets);

// Receives a request. ECONNRESET at the end of the connection, EPROTO for anything that is no request:
// numbers that do not agree, a target twice or out of range, descriptors missing.
result<start_request> receive_request(int socket);

// Asks a zygote for a clone that waits for its request at `socket_of_clone`. Returns 0 or the error.
int send_order(int socket, int socket_of_clone);

// Receives the socket of the clone that was asked for; fails as receive_request().
result<unique_fd> receive_order(int socket);

// Answers with a clone's pidfd, or with the error that kept it from being made.
int send_answer(int socket, pid_t pid, int pidfd);
int send_refusal(int socket, int error);

// Receives the answer; a refusal is a failure with the zygote's error, ECONNRESET means that the zygote is
// gone.
result<start_answer> receive_answer(int socket);

}  // namespace triga::proc
