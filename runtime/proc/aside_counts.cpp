// SPDX-License-Identifier: MIT
#include "runtime/proc/aside_counts.h"

#include <algorithm>
#include <span>

namespace triga::proc {
namespace {

// The owner of a place that is being emptied; no process has this name. Who dies over it leaves a place that
// is not used again, with a count that is not told.
constexpr shm::process_name nobody_yet = ~shm::process_name{0};

// Never below zero, whatever somebody wrote into the memory.
std::uint32_t subtract(std::atomic<std::uint32_t>& from, std::uint32_t most) noexcept {
  std::uint32_t before = from.load(std::memory_order_seq_cst);
  std::uint32_t less = 0;
  do {
    less = std::min(before, most);
  } while (!from.compare_exchange_weak(before, before - less, std::memory_order_seq_cst));
  return less;
}

}  // namespace

std::size_t aside_counts::used() const noexcept {
  return std::min<std::size_t>(used_.load(std::memory_order_seq_cst), places);
}

aside_counts::place* aside_counts::own_place(shm::process_name me) noexcept {
  for (std::size_t at = 0; at < places; ++at) {
    shm::process_name owner = 0;
    if (!places_[at].owner.compare_exchange_strong(owner, me, std::memory_order_seq_cst) && owner != me)
      continue;
    std::uint32_t known = used_.load(std::memory_order_seq_cst);
    while (known <= at && !used_.compare_exchange_weak(known, static_cast<std::uint32_t>(at) + 1)) {
    }
    return &places_[at];
  }
  return nullptr;
}

void aside_counts::add() noexcept {
  place* const own = own_place(shm::this_process());
  (own != nullptr ? own->count : others_).fetch_add(1, std::memory_order_seq_cst);
}

// A process that had no place may have got one since, and threads that looked for one at the same time may
// have got two.
void aside_counts::drop(std::uint32_t count) noexcept {
  const shm::process_name me = shm::this_process();
  for (place& each : std::span(places_).first(used())) {
    if (each.owner.load(std::memory_order_seq_cst) == me) count -= subtract(each.count, count);
  }
  subtract(others_, count);
}

std::uint32_t aside_counts::total() const noexcept {
  std::uint32_t sum = others_.load(std::memory_order_seq_cst);
  for (const place& each : std::span(places_).first(used())) {
    if (each.owner.load(std::memory_order_seq_cst) != nobody_yet)
      sum += each.count.load(std::memory_order_seq_cst);
  }
  return sum;
}

bool aside_counts::has_others() const noexcept {
  const shm::process_name me = shm::this_process();
  const auto all = std::span(places_).first(used());
  return std::any_of(all.begin(), all.end(), [me](const place& each) {
    const shm::process_name owner = each.owner.load(std::memory_order_seq_cst);
    return owner != me && owner != nobody_yet && each.count.load(std::memory_order_seq_cst) != 0;
  });
}

std::uint32_t aside_counts::forget_the_gone() noexcept {
  const shm::process_name me = shm::this_process();
  std::uint32_t sum = 0;
  for (place& each : std::span(places_).first(used())) {
    shm::process_name owner = each.owner.load(std::memory_order_seq_cst);
    if (owner == 0 || owner == me || owner == nobody_yet || !shm::is_gone(owner)) continue;
    // One of those who find it out empties the place; the next owner may come only after that.
    if (!each.owner.compare_exchange_strong(owner, nobody_yet, std::memory_order_seq_cst)) continue;
    sum += each.count.exchange(0, std::memory_order_seq_cst);
    each.owner.store(0, std::memory_order_seq_cst);
  }
  return sum;
}

}  // namespace triga::proc
