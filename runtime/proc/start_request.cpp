// SPDX-License-Identifier: MIT
#include "runtime/proc/start_request.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/proc/message.h"

namespace triga::proc {
namespace {

constexpr std::uint32_t request_mark = 0x71727a01;  // changes with the layout below
constexpr std::uint32_t answer_mark = 0x71727a02;
constexpr std::uint32_t order_mark = 0x71727a03;
constexpr std::uint32_t most_targets = 65536;

// The first message of a request; each message then carries the next targets, with their descriptors.
struct request_header {
  std::uint32_t mark;
  std::uint32_t count;  // descriptors in the whole request
  std::uint32_t has_traits;
  std::uint32_t reserved;
  inherited_traits traits;
};

struct answer_frame {
  std::uint32_t mark;
  std::int32_t error;
  std::int32_t pid;
};

constexpr std::size_t largest_message = sizeof(request_header) + most_descriptors * sizeof(std::int32_t);

bool acceptable(std::span<const int> targets) {
  std::vector<int> wanted;
  for (const int target : targets) {
    if (target < any_number) return false;
    if (target != any_number) wanted.push_back(target);
  }
  std::ranges::sort(wanted);
  return std::ranges::adjacent_find(wanted) == wanted.end();
}

bool sane(const request_header& header) {
  return header.mark == request_mark && header.count <= most_targets && header.has_traits <= 1 &&
         header.reserved == 0;
}

// Takes the targets in `bytes` and the descriptors of the message; they must be equally many, and some.
bool take_part(start_request& request, std::span<const std::byte> bytes, descriptor_message& got) {
  if (bytes.size() != got.descriptors.size() * sizeof(std::int32_t)) return false;
  for (std::size_t i = 0; i < got.descriptors.size(); ++i) {
    std::int32_t target = 0;
    std::memcpy(&target, bytes.data() + i * sizeof target, sizeof target);
    request.targets.push_back(target);
    request.descriptors.push_back(std::move(got.descriptors[i]));
  }
  return true;
}

}  // namespace

int send_request(int socket, const std::optional<inherited_traits>& traits, std::span<const int> descriptors,
                 std::span<const int> targets) {
  if (descriptors.size() != targets.size() || targets.size() > most_targets || !acceptable(targets))
    return EINVAL;
  request_header header{.mark = request_mark,
                        .count = static_cast<std::uint32_t>(targets.size()),
                        .has_traits = traits.has_value() ? 1U : 0U,
                        .reserved = 0,
                        .traits = traits.value_or(inherited_traits{})};
  std::vector<std::byte> bytes(sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  for (std::size_t at = 0; at == 0 || at < targets.size(); at += most_descriptors) {
    const std::size_t count = std::min(most_descriptors, targets.size() - at);
    const auto part = std::as_bytes(targets.subspan(at, count));
    bytes.insert(bytes.end(), part.begin(), part.end());
    if (const int error = send_message(socket, bytes, descriptors.subspan(at, count))) return error;
    bytes.clear();
  }
  return 0;
}

result<start_request> receive_request(int socket) {
  using returned = result<start_request>;
  std::array<std::byte, largest_message> buffer;
  auto first = receive_message(socket, buffer);
  if (!first) return returned::failure(first.error());
  if (first->size == 0) return returned::failure(ECONNRESET);
  request_header header{};
  if (first->size < sizeof header) return returned::failure(EPROTO);
  std::memcpy(&header, buffer.data(), sizeof header);
  start_request request;
  if (!sane(header)) return returned::failure(EPROTO);
  if (header.has_traits == 1) request.traits = header.traits;
  const std::span<const std::byte> bytes(buffer);
  if (!take_part(request, bytes.subspan(sizeof header, first->size - sizeof header), *first)) {
    return returned::failure(EPROTO);
  }
  while (request.targets.size() < header.count) {
    auto next = receive_message(socket, buffer);
    if (!next) return returned::failure(next.error());
    if (next->size == 0) return returned::failure(ECONNRESET);
    if (!take_part(request, bytes.first(next->size), *next)) return returned::failure(EPROTO);
  }
  if (request.targets.size() != header.count || !acceptable(request.targets))
    return returned::failure(EPROTO);
  return request;
}

int send_order(int socket, int socket_of_clone) {
  return send_message(socket, std::as_bytes(std::span(&order_mark, 1)), std::span(&socket_of_clone, 1));
}

result<unique_fd> receive_order(int socket) {
  using returned = result<unique_fd>;
  std::array<std::byte, largest_message> buffer;
  auto got = receive_message(socket, buffer);
  if (!got) return returned::failure(got.error());
  if (got->size == 0) return returned::failure(ECONNRESET);
  std::uint32_t mark = 0;
  if (got->size != sizeof mark) return returned::failure(EPROTO);
  std::memcpy(&mark, buffer.data(), sizeof mark);
  if (mark != order_mark || got->descriptors.size() != 1) return returned::failure(EPROTO);
  return std::move(got->descriptors.front());
}

int send_answer(int socket, pid_t pid, int pidfd) {
  const answer_frame frame{.mark = answer_mark, .error = 0, .pid = pid};
  return send_message(socket, std::as_bytes(std::span(&frame, 1)), std::span(&pidfd, 1));
}

int send_refusal(int socket, int error) {
  const answer_frame frame{.mark = answer_mark, .error = error, .pid = 0};
  return send_message(socket, std::as_bytes(std::span(&frame, 1)), {});
}

result<start_answer> receive_answer(int socket) {
  using returned = result<start_answer>;
  std::array<std::byte, sizeof(answer_frame)> buffer;
  auto got = receive_message(socket, buffer);
  if (!got) return returned::failure(got.error());
  if (got->size == 0) return returned::failure(ECONNRESET);
  answer_frame frame{};
  if (got->size != sizeof frame) return returned::failure(EPROTO);
  std::memcpy(&frame, buffer.data(), sizeof frame);
  if (frame.mark != answer_mark) return returned::failure(EPROTO);
  if (frame.error != 0) return returned::failure(frame.error);
  if (got->descriptors.size() != 1 || frame.pid <= 0) return returned::failure(EPROTO);
  return start_answer{.pid = frame.pid, .pidfd = std::move(got->descriptors.front())};
}

}  // namespace triga::proc
