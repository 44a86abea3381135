// SPDX-License-Identifier: MIT
#include "runtime/net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace triga::net {

std::optional<address> address::ipv4(const char* host, std::uint16_t port) noexcept {
  address made;
  sockaddr_in& fields = made.storage_.ipv4;
  if (inet_pton(AF_INET, host, &fields.sin_addr) != 1) return std::nullopt;
  fields.sin_family = AF_INET;
  fields.sin_port = htons(port);
  made.size_ = sizeof(fields);
  return made;
}

std::optional<address> address::ipv6(const char* host, std::uint16_t port, std::uint32_t flow_info,
                                     std::uint32_t scope) noexcept {
  address made;
  sockaddr_in6& fields = made.storage_.ipv6;
  if (inet_pton(AF_INET6, host, &fields.sin6_addr) != 1) return std::nullopt;
  fields.sin6_family = AF_INET6;
  fields.sin6_port = htons(port);
  fields.sin6_flowinfo = htonl(flow_info);
  fields.sin6_scope_id = scope;
  made.size_ = sizeof(fields);
  return made;
}

std::optional<address> address::unix_path(std::string_view path) noexcept {
  address made;
  sockaddr_un& fields = made.storage_.unix_;
  const bool abstract = !path.empty() && path.front() == '\0';
  // A path is ended by a NUL, for which there has to be room; a name in the abstract namespace is not.
  if (path.size() + (abstract ? 0 : 1) > sizeof(fields.sun_path)) return std::nullopt;
  fields.sun_family = AF_UNIX;
  if (!path.empty()) std::memcpy(fields.sun_path, path.data(), path.size());
  made.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return made;
}

sockaddr* address::to_fill() noexcept {
  // The longest address that is read back as text is a Unix path without its NUL.
  std::memset(&storage_.unix_, 0, sizeof(storage_.unix_));
  size_ = sizeof(storage_);
  return &storage_.any;
}

bool address::operator==(const address& other) const noexcept {
  return size_ == other.size_ && std::memcmp(&storage_, &other.storage_, size_) == 0;
}

std::size_t address::hash() const noexcept {
  // Word by word, as every datagram asks; the high bits are folded in, as ports of one host differ in two
  // bytes.
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15U;  // 2^64 over the golden ratio
  std::uint64_t hash = size_;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&storage_);
  for (socklen_t at = 0; at < size_; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + at, std::min<std::size_t>(sizeof word, size_ - at));
    hash = (hash ^ word) * odd;
    hash ^= hash >> 32;
  }
  return hash;
}

std::string address::host() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = family() == AF_INET ? static_cast<const void*>(&storage_.ipv4.sin_addr)
                                          : static_cast<const void*>(&storage_.ipv6.sin6_addr);
  return inet_ntop(family(), bytes, text.data(), text.size()) != nullptr ? text.data() : "";
}

std::uint16_t address::port() const noexcept {
  return ntohs(family() == AF_INET ? storage_.ipv4.sin_port : storage_.ipv6.sin6_port);
}

std::uint32_t address::flow_info() const noexcept { return ntohl(storage_.ipv6.sin6_flowinfo); }

std::uint32_t address::scope() const noexcept { return storage_.ipv6.sin6_scope_id; }

std::string_view address::path() const noexcept {
  constexpr std::size_t before = offsetof(sockaddr_un, sun_path);
  if (size_ <= before) return {};
  const char* start = storage_.unix_.sun_path;
  const std::size_t room = size_ - before;
  return {start, *start == '\0' ? room : strnlen(start, room)};
}

}  // namespace triga::net
