// SPDX-License-Identifier: MIT
#include "runtime/proc/message.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace triga::proc {
namespace {

struct alignas(cmsghdr) control_space {
  std::array<std::byte, CMSG_SPACE(sizeof(int) * most_descriptors)> bytes;
};

void adopt_descriptors(msghdr& header, std::vector<unique_fd>& into) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      into.emplace_back(descriptor);
    }
  }
}

}  // namespace

int send_message(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors) noexcept {
  if (descriptors.size() > most_descriptors) return EINVAL;
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  control_space control{};
  if (!descriptors.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

result<descriptor_message> receive_message(int socket, std::span<std::byte> buffer) {
  iovec part{.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr header{};
  control_space control{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  ssize_t received = 0;
  do {
    received = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return result<descriptor_message>::last_error();
  descriptor_message got;
  got.size = static_cast<std::size_t>(received);
  adopt_descriptors(header, got.descriptors);
  if ((header.msg_flags & MSG_TRUNC) != 0) return result<descriptor_message>::failure(EMSGSIZE);
  if ((header.msg_flags & MSG_CTRUNC) != 0) return result<descriptor_message>::failure(EMFILE);
  return got;
}

}  // namespace triga::proc
