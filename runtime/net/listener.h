// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>

namespace triga::net {

// How many connections wait at a listening TCP socket for accept(2). Nothing for any other socket: of Unix
// ones the kernel does not tell.
[[nodiscard]] std::optional<std::size_t> waiting_connections(int listener) noexcept;

}  // namespace triga::net
