// SPDX-License-Identifier: MIT
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace triga::net {

// A socket address of the families that programs use: IPv4, IPv6 and Unix. What the kernel fills in for any
// other family is kept as it is, for somebody who knows it.
class address {
 public:
  address() noexcept : storage_{} {}

  // Nothing if the host is not written in numbers: a name has to be resolved first. An IPv6 zone ("%eth0") is
  // no number.
  static std::optional<address> ipv4(const char* host, std::uint16_t port) noexcept;
  static std::optional<address> ipv6(const char* host, std::uint16_t port, std::uint32_t flow_info,
                                     std::uint32_t scope) noexcept;
  // A path, or after a leading NUL a name of the abstract namespace. Nothing if it is too long.
  static std::optional<address> unix_path(std::string_view path) noexcept;

  // For the kernel to fill in: forgets what was there, and gives room for any address. Set size() to what the
  // kernel says.
  [[nodiscard]] sockaddr* to_fill() noexcept;
  [[nodiscard]] socklen_t* size_to_fill() noexcept { return &size_; }

  [[nodiscard]] const sockaddr* get() const noexcept { return &storage_.any; }
  [[nodiscard]] socklen_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }  // the kernel knew none
  [[nodiscard]] int family() const noexcept { return storage_.any.sa_family; }
  [[nodiscard]] bool operator==(const address& other) const noexcept;
  [[nodiscard]] std::size_t hash() const noexcept;  // of all its bytes

  // Of an IPv4 or IPv6 address.
  [[nodiscard]] std::string host() const;
  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] std::uint32_t flow_info() const noexcept;
  [[nodiscard]] std::uint32_t scope() const noexcept;
  // Of a Unix address: the path, or with its leading NUL the name in the abstract namespace; empty if it has
  // none.
  [[nodiscard]] std::string_view path() const noexcept;

 private:
  union {
    sockaddr any;
    sockaddr_in ipv4;
    sockaddr_in6 ipv6;
    sockaddr_un unix_;
    sockaddr_storage largest;
  } storage_;
  socklen_t size_ = 0;
};

}  // namespace triga::net
