// SPDX-License-Identifier: MIT
#include "runtime/proc/message_queue.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "runtime/sync/spin.h"
#include "runtime/trace/counters.h"

namespace triga::proc {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t queue_magic = 0x7472'6967'6104'0002;
constexpr std::size_t ring_at = (sizeof(queue_header) + 63) & ~std::size_t{63};
constexpr std::uint64_t blocks_begin = std::uint64_t{1} << 40U;
constexpr std::uint64_t blocks_end = std::uint64_t{1} << 61U;
constexpr std::uint64_t page = 4096;

constexpr std::size_t queue_size(std::size_t capacity) noexcept {
  return ring_at + shm::shared_ring::bytes(capacity);
}

constexpr bool possible_queue_capacity(std::uint64_t capacity) noexcept {
  return std::has_single_bit(capacity) && capacity >= shm::shared_ring::smallest &&
         capacity <= shm::shared_ring::largest;
}

using ring_status = shm::shared_ring::status;

message_queue::status translated(ring_status status) noexcept {
  switch (status) {
    case ring_status::done:
    case ring_status::recovered:
      return message_queue::status::done;
    case ring_status::busy:
      return message_queue::status::busy;
    case ring_status::interrupted:
      return message_queue::status::interrupted;
    case ring_status::empty:
      return message_queue::status::empty;
    case ring_status::full:
      return message_queue::status::full;
    case ring_status::no_space:
    case ring_status::too_large:
      return message_queue::status::no_space;
    case ring_status::corrupt:
      break;
  }
  return message_queue::status::corrupt;
}

std::int64_t bytes_in_blocks(std::span<const shm::block_reference> blocks) noexcept {
  std::int64_t bytes = 0;
  for (const auto& block : blocks) bytes += static_cast<std::int64_t>(block.length);
  return bytes;
}

}  // namespace

message_queue::message_queue(std::shared_ptr<const shm::segment> home, shm::mapping mapped,
                             std::size_t capacity) noexcept
    : home_(std::move(home)),
      mapped_(std::move(mapped)),
      ring_(mapped_.bytes().subspan(ring_at), capacity),
      // Copies: what another process writes there later does not count.
      most_(static_cast<std::uint32_t>(std::min<std::uint64_t>(header().most, UINT32_MAX))),
      most_bytes_(header().most_bytes) {}

result<std::unique_ptr<message_queue>> message_queue::create(const options& wanted) {
  using made = result<std::unique_ptr<message_queue>>;
  auto home = shm::segment::create("triga-queue", blocks_end);
  if (!home) return made::failure(home.error());
  const std::array<std::uint64_t, 4> start{queue_magic, wanted.ring_capacity, wanted.most, wanted.most_bytes};
  if (const int error = home->write_at(0, std::as_bytes(std::span(start)))) return made::failure(error);
  const std::uint64_t first = blocks_begin;
  if (const int error = home->write_at(offsetof(queue_header, next_block),
                                       std::as_bytes(std::span<const std::uint64_t, 1>(&first, 1))))
    return made::failure(error);
  unique_fd descriptor(::fcntl(home->descriptor(), F_DUPFD_CLOEXEC, 3));
  if (!descriptor) return made::last_error();
  return adopt(std::move(descriptor));
}

result<std::unique_ptr<message_queue>> message_queue::adopt(unique_fd descriptor) {
  using made = result<std::unique_ptr<message_queue>>;
  auto adopted = shm::segment::adopt(std::move(descriptor));
  if (!adopted) return made::failure(adopted.error());
  auto home = std::make_shared<const shm::segment>(std::move(*adopted));
  std::array<std::uint64_t, 2> start{};
  if (const int error = home->read_at(0, std::as_writable_bytes(std::span(start))))
    return made::failure(error);
  if (start[0] != queue_magic || !possible_queue_capacity(start[1]) || home->size() != blocks_end)
    return made::failure(EPROTO);
  auto mapped = home->map(0, queue_size(start[1]), shm::segment::access::shared);
  if (!mapped) return made::failure(mapped.error());
  return std::unique_ptr<message_queue>(new message_queue(std::move(home), std::move(*mapped), start[1]));
}

void message_queue::use_pipe(int reader, int writer) noexcept {
  // Relaxed: numbers; who closes one has made sure that nobody needs it.
  reader_.store(reader, std::memory_order_relaxed);
  writer_.store(writer, std::memory_order_relaxed);
}

void message_queue::watch() noexcept {
  // seq_cst: a put either sees this, and tells, or is seen by the look that follows.
  if (header().watched.exchange(1, std::memory_order_seq_cst) == 0 && !empty()) tell_pipe();
}

// A pipe that is full tells already, so what write(2) says does not matter.
void message_queue::tell_pipe() const noexcept {
  const char byte = 0;
  const int writer = writer_.load(std::memory_order_relaxed);
  if (writer >= 0) {
    [[maybe_unused]] const ssize_t done = ::write(writer, &byte, 1);
    return;
  }
  // This process has closed its write end, and has to tell that its last look was too early.
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", reader_.load(std::memory_order_relaxed));
  const unique_fd again(::open(path.data(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (again) [[maybe_unused]]
    const ssize_t done = ::write(again.get(), &byte, 1);
}

void message_queue::silence_pipe() const noexcept {
  const int reader = reader_.load(std::memory_order_relaxed);
  if (reader < 0) return;
  std::array<char, 4096> bytes{};
  while (::read(reader, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) {
  }
  // A message that came before the read was announced by a byte that is gone now.
  if (!empty()) tell_pipe();
}

bool message_queue::has_space(std::uint64_t bytes) const noexcept {
  if (bytes == 0 || most_bytes_ == 0 || empty()) return true;
  const std::int64_t used = std::max<std::int64_t>(header().block_bytes.load(std::memory_order_relaxed), 0);
  return bytes <= most_bytes_ && static_cast<std::uint64_t>(used) <= most_bytes_ - bytes;
}

result<envelope> message_queue::stage(const content& what, std::uint64_t sequence, std::uint16_t tag) const {
  const std::size_t body = what.body_size();
  std::uint64_t needed = body > inline_limit() ? body + page : 0;
  for (const byte_span& buffer : what.buffers) needed += buffer.size() + page;
  shm::slab_writer slab;
  if (needed != 0) {
    needed = (needed + page - 1) / page * page;
    // Relaxed: the places are handed out once each; what lies there is published by the ring.
    const std::uint64_t begin = header().next_block.fetch_add(needed, std::memory_order_relaxed);
    if (begin < blocks_begin || begin % page != 0 || begin > blocks_end - needed)
      return result<envelope>::failure(ENOSPC);
    slab = shm::slab_writer(begin, begin + needed);
  }
  return envelope::stage(what, sequence, tag, inline_limit(), slab, *home_);
}

std::uint32_t message_queue::most_now() const noexcept {
  // Relaxed: who sets a message aside at the same time as this put may come before or after it.
  return most_ - std::min(most_, header().aside.total());
}

message_queue::status message_queue::after_put(ring_status how, std::size_t bytes) noexcept {
  if (how != ring_status::done && how != ring_status::recovered) return translated(how);
  trace::count(trace::counter::messages_sent);
  trace::count(trace::counter::message_bytes, bytes);
  trace::count(header().items.ring() ? trace::counter::wakes : trace::counter::wakes_saved);
  if (header().watched.load(std::memory_order_seq_cst) != 0) tell_pipe();
  return status::done;
}

message_queue::status message_queue::put_small(std::span<const byte_span> body, std::uint64_t sequence,
                                               std::uint16_t tag, patience how) {
  const message_header start{sequence, tag, 0, 0};
  std::array<byte_span, most_pieces + 1> pieces{std::as_bytes(std::span<const message_header, 1>(&start, 1))};
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < body.size(); ++i) {
    pieces[i + 1] = body[i];
    bytes += body[i].size();
  }
  return after_put(ring_.put(std::span(pieces).first(body.size() + 1), most_now(), how), bytes);
}

message_queue::status message_queue::put(const envelope& staged, patience how, bool set_aside) {
  const std::int64_t bytes = bytes_in_blocks(staged.blocks());
  if (bytes != 0) header().block_bytes.fetch_add(bytes, std::memory_order_relaxed);
  const status ended =
      after_put(ring_.put(staged.pieces(), set_aside ? UINT32_MAX : most_now(), how), staged.size());
  if (ended != status::done && bytes != 0) header().block_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  if (ended == status::done && set_aside) header().aside.drop(1);
  return ended;
}

void message_queue::after_take(const message& received, bool recovered) noexcept {
  if (const std::uint64_t bytes = received.block_bytes(); bytes != 0)
    header().block_bytes.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
  trace::count(trace::counter::messages_received);
  header().room.ring();
  if (ring_.used() <= ring_.capacity() / 2) header().space.ring(INT_MAX);
  // Who died with the lock may have been woken for a message that is still there.
  if (recovered && !empty()) header().items.ring();
  if (empty() && header().watched.load(std::memory_order_seq_cst) != 0) silence_pipe();
}

message_queue::status message_queue::take(message& received, patience how) {
  std::vector<std::byte> raw;
  const ring_status ended = ring_.take(raw, how);
  if (ended != ring_status::done && ended != ring_status::recovered) return translated(ended);
  auto parsed = message::parse(std::move(raw), home_, {blocks_begin, blocks_end, 0, nullptr, nullptr});
  if (!parsed) return status::corrupt;
  received = std::move(*parsed);
  after_take(received, ended == ring_status::recovered);
  return status::done;
}

template <class Ready>
message_queue::status message_queue::await(shm::shared_bell& bell, time_point deadline, int end_of_pipe,
                                           Ready ready) {
  sync::spin look_out(sync::waiting_for::process_task);
  while (look_out.again()) {
    if (!ready()) continue;
    look_out.succeeded_at_once();
    return status::done;
  }
  const std::uint32_t announced = bell.announce();
  if (ready()) return status::done;
  const time_point next_look =
      header().aside.has_others() ? std::min(deadline, deadline_after(1s)) : deadline;
  switch (bell.wait(announced, next_look)) {
    case sync::wait_status::timed_out:
      if (next_look == deadline) return status::timed_out;
      forget_the_gone();
      return status::done;
    case sync::wait_status::interrupted:
      return status::interrupted;
    case sync::wait_status::woken:
      break;
  }
  if (end_of_pipe >= 0 && !ready()) {
    pollfd watched{.fd = end_of_pipe, .events = 0, .revents = 0};
    if (::poll(&watched, 1, 0) > 0 && (watched.revents & (POLLHUP | POLLERR)) != 0) return status::hung_up;
  }
  return status::done;
}

message_queue::status message_queue::await_item(time_point deadline) {
  return await(header().items, deadline, reader_.load(std::memory_order_relaxed), [&] { return !empty(); });
}

message_queue::status message_queue::await_room(time_point deadline) {
  return await(header().room, deadline, writer_.load(std::memory_order_relaxed), [&] { return !full(); });
}

message_queue::status message_queue::await_space(time_point deadline, std::uint64_t bytes) {
  return await(header().space, deadline, writer_.load(std::memory_order_relaxed),
               [&] { return ring_.used() <= ring_.capacity() / 2 && has_space(bytes); });
}

void message_queue::drop_set_aside(std::uint32_t count) noexcept { header().aside.drop(count); }

void message_queue::forget_the_gone() noexcept {
  if (!header().aside.has_others() || header().aside.forget_the_gone() == 0) return;
  header().room.ring(INT_MAX);
  if (all_done()) header().finished.ring(INT_MAX);
}

std::uint32_t message_queue::size() const noexcept { return ring_.size() + header().aside.total(); }

std::uint32_t message_queue::unfinished() const noexcept {
  // Loaded in this order: a message goes from set aside to put, and is never missed on its way.
  const std::uint32_t aside = header().aside.total();
  return aside + ring_.puts() - header().done.load(std::memory_order_seq_cst);
}

bool message_queue::task_done() noexcept {
  std::uint32_t done = header().done.load(std::memory_order_seq_cst);
  do {
    const std::uint32_t aside = header().aside.total();
    if (aside + ring_.puts() == done) return false;
  } while (!header().done.compare_exchange_weak(done, done + 1, std::memory_order_seq_cst));
  if (all_done()) header().finished.ring(INT_MAX);
  return true;
}

message_queue::status message_queue::await_all_done(time_point deadline) noexcept {
  return await(header().finished, deadline, -1, [&] { return all_done(); });
}

}  // namespace triga::proc
