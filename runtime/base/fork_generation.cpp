// SPDX-License-Identifier: MIT
#include "runtime/base/fork_generation.h"

#include <pthread.h>

namespace triga {
namespace detail {

std::atomic<std::uint32_t> fork_count{0};

}  // namespace detail

namespace {

[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { detail::fork_count.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

}  // namespace triga
