// SPDX-License-Identifier: MIT
#include "tests/fuzz/hostile_memory.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "runtime/proc/channel.h"
#include "runtime/proc/message_queue.h"
#include "runtime/shm/ring.h"
#include "runtime/shm/shared_ring.h"

namespace triga::fuzz {
namespace {

constexpr std::size_t capacity = 4096;
// A message takes 8 bytes or more, so an honest ring gives no more than this many.
constexpr int most_messages = capacity / 8 + 1;
constexpr std::uint64_t region_begin = std::uint64_t{1} << 40U;
constexpr std::uint64_t region_end = std::uint64_t{1} << 41U;

enum class reader : unsigned char { ring, shared_ring, message, queue, count };

// Memory of a ring, aligned as a mapping is.
template <std::size_t Size>
struct alignas(64) memory {
  std::array<std::byte, Size> bytes{};
  explicit memory(std::span<const std::byte> from) {
    std::copy_n(from.begin(), std::min(from.size(), Size), bytes.begin());
  }
};

// With a page of an honest payload, so that there is something to refer to.
std::shared_ptr<const shm::segment> sparse_segment() {
  auto made = std::make_shared<const shm::segment>(
      shm::segment::create("triga-fuzz", region_end).value_or_throw("segment"));
  const std::array<std::byte, 4096> page{};
  static_cast<void>(made->write_at(region_begin, page));
  return made;
}

// The region that a pool writes its tasks to, whose kept places a worker may name in an answer.
const shm::region& returned() {
  static const shm::region tasks{
      .begin = proc::task_slab_begin,
      .end = proc::task_slab_end,
      .keep = std::uint64_t{1} << 20U,
      .places = std::make_shared<shm::place_words>(),
      .maps = std::make_shared<shm::place_maps>(proc::task_slab_begin, std::uint64_t{1} << 20U)};
  return tasks;
}

void read_message(std::vector<std::byte> raw, const std::shared_ptr<const shm::segment>& home) {
  auto parsed = proc::message::parse(std::move(raw), home, {region_begin, region_end, 0, nullptr, nullptr},
                                     &returned());
  if (!parsed || parsed->body_size() > (std::size_t{1} << 20U)) return;
  std::vector<std::byte> body(parsed->body_size());
  static_cast<void>(parsed->read_body(body));
  for (const shm::block& each : parsed->buffers) {
    std::vector<std::byte> buffer(each.size());
    static_cast<void>(each.read(buffer));
    static_cast<void>(each.map());
  }
}

void read_ring(std::span<const std::byte> input) {
  memory<shm::ring_bytes(capacity)> bytes(input);
  shm::ring_reader from(bytes.bytes, capacity);
  const auto home = sparse_segment();
  std::vector<std::byte> message;
  for (int i = 0; i < most_messages; ++i) {
    if (from.try_read(message) != shm::ring_status::done) return;
    read_message(message, home);
  }
}

void read_shared_ring(std::span<const std::byte> input) {
  memory<shm::shared_ring::bytes(capacity)> bytes(input);
  shm::shared_ring ring(bytes.bytes, capacity);
  std::vector<std::byte> message;
  for (int i = 0; i < most_messages; ++i) {
    const auto status = ring.take(message, shm::shared_ring::patience::none);
    if (status != shm::shared_ring::status::done) break;
  }
  static_cast<void>(ring.size());
  const std::array<std::span<const std::byte>, 1> piece{std::as_bytes(std::span("more"))};
  static_cast<void>(ring.put(piece, UINT32_MAX, shm::shared_ring::patience::none));
}

void read_queue(std::span<const std::byte> input) {
  auto home = shm::segment::create("triga-fuzz", std::uint64_t{1} << 61U);
  if (!home || home->write_at(0, input) != 0) return;
  auto queue = proc::message_queue::adopt(unique_fd(::fcntl(home->descriptor(), F_DUPFD_CLOEXEC, 3)));
  if (!queue) return;
  for (int i = 0; i < most_messages; ++i) {
    proc::message message;
    const auto status = (*queue)->take(message, proc::message_queue::patience::none);
    if (status != proc::message_queue::status::done) break;
  }
  static_cast<void>((*queue)->size());
  static_cast<void>((*queue)->task_done());
}

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::vector<std::byte> start_of(reader kind) { return {std::byte{static_cast<unsigned char>(kind)}}; }

// The bytes of a message with `size` bytes of body.
std::vector<std::byte> message_of(std::size_t size) {
  const proc::message_header header{7, 1, 0, 0};
  std::vector<std::byte> raw;
  append(raw, std::as_bytes(std::span<const proc::message_header, 1>(&header, 1)));
  raw.resize(raw.size() + size, std::byte{'x'});
  return raw;
}

std::vector<std::byte> ring_seed(std::size_t size) {
  memory<shm::ring_bytes(capacity)> bytes({});
  shm::ring_writer writer(bytes.bytes, capacity);
  const auto raw = message_of(size);
  const std::array<std::span<const std::byte>, 1> pieces{raw};
  while (writer.try_write(pieces) == shm::ring_status::done) {
  }
  auto seed = start_of(reader::ring);
  append(seed, bytes.bytes);
  return seed;
}

std::vector<std::byte> shared_ring_seed(std::size_t size) {
  memory<shm::shared_ring::bytes(capacity)> bytes({});
  shm::shared_ring ring(bytes.bytes, capacity);
  const auto raw = message_of(size);
  const std::array<std::span<const std::byte>, 1> pieces{raw};
  while (ring.put(pieces, 1000, shm::shared_ring::patience::none) == shm::shared_ring::status::done) {
  }
  auto seed = start_of(reader::shared_ring);
  append(seed, bytes.bytes);
  return seed;
}

std::vector<std::byte> message_seed(std::size_t blocks) {
  const proc::message_header header{7, 1, 1, static_cast<std::uint32_t>(blocks)};
  auto seed = start_of(reader::message);
  append(seed, std::as_bytes(std::span<const proc::message_header, 1>(&header, 1)));
  for (std::size_t i = 0; i < blocks; ++i) {
    const shm::block_reference where{region_begin + i * 4096, 100};
    append(seed, std::as_bytes(std::span<const shm::block_reference, 1>(&where, 1)));
  }
  return seed;
}

std::vector<std::byte> queue_seed(std::size_t size) {
  proc::message_queue::options wanted;
  wanted.ring_capacity = capacity;
  auto queue = proc::message_queue::create(wanted).value_or_throw("queue");
  const std::vector<std::byte> body(size, std::byte{'x'});
  const std::array<proc::byte_span, 1> pieces{body};
  while (queue->put_small(pieces, 1, 0, proc::message_queue::patience::none) ==
         proc::message_queue::status::done) {
  }
  std::vector<std::byte> bytes(sizeof(proc::queue_header) + shm::shared_ring::bytes(capacity) + 64);
  auto home = shm::segment::adopt(unique_fd(::fcntl(queue->descriptor(), F_DUPFD_CLOEXEC, 3)));
  static_cast<void>(home->read_at(0, bytes));
  auto seed = start_of(reader::queue);
  append(seed, bytes);
  return seed;
}

}  // namespace

void read_hostile_memory(std::span<const std::byte> input) {
  if (input.empty()) return;
  const auto rest = input.subspan(1);
  switch (static_cast<reader>(std::to_integer<unsigned>(input[0]) % static_cast<unsigned>(reader::count))) {
    case reader::ring:
      return read_ring(rest);
    case reader::shared_ring:
      return read_shared_ring(rest);
    case reader::message:
      return read_message({rest.begin(), rest.end()}, sparse_segment());
    case reader::queue:
      return read_queue(rest);
    case reader::count:
      break;
  }
}

std::vector<std::vector<std::byte>> seeds() {
  return {ring_seed(0),    ring_seed(100),  shared_ring_seed(0), shared_ring_seed(100),
          message_seed(1), message_seed(3), queue_seed(0),       queue_seed(200)};
}

}  // namespace triga::fuzz
