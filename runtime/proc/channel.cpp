// SPDX-License-Identifier: MIT
#include "runtime/proc/channel.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "runtime/trace/counters.h"

namespace triga::proc {
namespace {

constexpr std::size_t rounded_to_line(std::size_t size) noexcept { return (size + 63) & ~std::size_t{63}; }

constexpr std::size_t rings_at = rounded_to_line(sizeof(channel_header));

constexpr std::size_t control_size(std::size_t capacity) noexcept {
  return rings_at + 2 * rounded_to_line(shm::ring_bytes(capacity));
}

constexpr bool possible_capacity(std::uint64_t capacity) noexcept {
  return std::has_single_bit(capacity) && capacity >= smallest_ring && capacity <= largest_ring;
}

// Writes `pieces` one behind the other at `where`.
int write_pieces(shm::slab_writer& slab, const shm::segment& home, shm::block_reference where,
                 std::span<const byte_span> pieces) {
  std::uint64_t at = 0;
  for (const byte_span& piece : pieces) {
    if (const int error = slab.write(where, at, piece, home)) return error;
    at += piece.size();
  }
  return 0;
}

// Whether that is a payload in a kept place which holds all of it.
bool is_kept_whole(shm::block_reference where, const shm::region& in) noexcept {
  return where.length != 0 && where.length <= in.keep && in.kept_place_of(where).has_value();
}

}  // namespace

std::span<std::byte> channel_memory::task_ring() const noexcept {
  return mapped->bytes().subspan(rings_at, shm::ring_bytes(capacity));
}

std::span<std::byte> channel_memory::result_ring() const noexcept {
  return mapped->bytes().subspan(rings_at + rounded_to_line(shm::ring_bytes(capacity)),
                                 shm::ring_bytes(capacity));
}

shm::region channel_memory::task_slab() const noexcept {
  return {task_slab_begin,
          task_slab_end,
          keep,
          {mapped, &header().task_places},
          std::make_shared<shm::place_maps>(task_slab_begin, keep)};
}

shm::region channel_memory::result_slab() const noexcept {
  return {result_slab_begin,
          result_slab_end,
          keep,
          {mapped, &header().result_places},
          std::make_shared<shm::place_maps>(result_slab_begin, keep)};
}

result<shm::segment> create_channel(const channel_options& options) {
  auto home = shm::segment::create("triga-channel", result_slab_end);
  if (!home) return home;
  const std::array<std::uint64_t, 3> start{channel_magic, options.ring_capacity, options.keep};
  if (const int error = home->write_at(0, std::as_bytes(std::span(start))))
    return result<shm::segment>::failure(error);
  return home;
}

result<channel_memory> open_channel(const shm::segment& home) {
  std::array<std::uint64_t, 3> start{};
  if (const int error = home.read_at(0, std::as_writable_bytes(std::span(start)))) {
    return result<channel_memory>::failure(error);
  }
  if (start[0] != channel_magic || !possible_capacity(start[1]))
    return result<channel_memory>::failure(EPROTO);
  auto mapped = home.map(0, control_size(start[1]), shm::segment::access::shared);
  if (!mapped) return result<channel_memory>::failure(mapped.error());
  return channel_memory{std::make_shared<const shm::mapping>(std::move(*mapped)), start[1], start[2]};
}

std::size_t content::body_size() const noexcept {
  std::size_t size = 0;
  for (const byte_span& piece : body) size += piece.size();
  return size;
}

std::optional<message> message::parse(std::vector<std::byte> raw,
                                      const std::shared_ptr<const shm::segment>& home, const shm::region& in,
                                      const shm::region* returned) {
  message_header header{};
  if (raw.size() < sizeof(header)) return std::nullopt;
  std::memcpy(&header, raw.data(), sizeof(header));
  const std::size_t rest = raw.size() - sizeof(header);
  if (header.body_in_block > 1 || header.blocks > rest / sizeof(shm::block_reference)) return std::nullopt;
  if (header.body_in_block != 0 && header.blocks == 0) return std::nullopt;
  message parsed;
  parsed.sequence = header.sequence;
  parsed.tag = header.tag;
  std::uint64_t left = header.blocks != 0 ? home->present() : 0;
  for (std::uint32_t i = 0; i < header.blocks; ++i) {
    shm::block_reference where{};
    std::memcpy(&where, raw.data() + sizeof(header) + i * sizeof(where), sizeof(where));
    const shm::region& from = returned != nullptr && is_kept_whole(where, *returned) ? *returned : in;
    if ((&from == &in && !shm::lies_within(where, in.begin, in.end)) || where.length > left)
      return std::nullopt;
    left -= where.length;
    if (&from != &in) trace::count(trace::counter::payloads_returned);
    if (i == 0 && header.body_in_block != 0) {
      parsed.body_block_.emplace(home, where, from);
    } else {
      parsed.buffers.emplace_back(home, where, from);
    }
  }
  parsed.body_at_ = sizeof(header) + header.blocks * sizeof(shm::block_reference);
  parsed.raw_ = std::move(raw);
  return parsed;
}

result<byte_span> message::body() {
  if (!body_block_) return byte_span(raw_).subspan(body_at_);
  if (body_mapping_.data() == nullptr) {
    auto mapped = body_block_->map();
    if (!mapped) return result<byte_span>::failure(mapped.error());
    body_mapping_ = std::move(*mapped);
  }
  return byte_span(body_mapping_.bytes());
}

int message::read_body(std::span<std::byte> into) const noexcept {
  if (body_block_) return body_block_->read(into);
  if (!into.empty()) std::memcpy(into.data(), raw_.data() + body_at_, into.size());
  return 0;
}

std::uint64_t message::block_bytes() const noexcept {
  std::uint64_t bytes = body_block_ ? body_block_->size() : 0;
  for (const shm::block& buffer : buffers) bytes += buffer.size();
  return bytes;
}

result<envelope> envelope::stage(const content& what, std::uint64_t sequence, std::uint16_t tag,
                                 std::size_t inline_limit, shm::slab_writer& slab, const shm::segment& home) {
  envelope made;
  made.size_ = what.body_size();
  for (const byte_span& buffer : what.buffers) made.size_ += buffer.size();
  const std::size_t body_size = what.body_size();
  const bool body_in_block = body_size > inline_limit;
  int error = body_in_block ? made.place(what.body, body_size, slab, home) : 0;
  for (std::size_t i = 0; i < what.buffers.size() && error == 0; ++i) {
    if (!what.received.empty() && made.pass_on(what.received[i], home)) continue;
    error = made.place(what.buffers.subspan(i, 1), what.buffers[i].size(), slab, home);
  }
  if (error != 0) {
    made.discard(slab, home);
    return result<envelope>::failure(error);
  }
  made.stable_header_ = std::make_unique<message_header>(message_header{
      sequence, tag, std::uint16_t{body_in_block}, static_cast<std::uint32_t>(made.blocks_.size())});
  made.pieces_.push_back(std::as_bytes(std::span<const message_header, 1>(made.stable_header_.get(), 1)));
  if (!made.blocks_.empty()) made.pieces_.push_back(std::as_bytes(std::span(made.blocks_)));
  if (!body_in_block) made.pieces_.insert(made.pieces_.end(), what.body.begin(), what.body.end());
  return made;
}

int envelope::place(std::span<const byte_span> pieces, std::size_t size, shm::slab_writer& slab,
                    const shm::segment& home) {
  auto where = slab.reserve(size);
  if (!where) return where.error();
  blocks_.push_back(*where);
  passed_on_.push_back(nullptr);
  return write_pieces(slab, home, *where, pieces);
}

// A block goes once: it has one owner.
bool envelope::pass_on(shm::block* received, const shm::segment& home) {
  if (received == nullptr || std::ranges::find(passed_on_, received) != passed_on_.end()) return false;
  const auto where = received->lent_to(home);
  if (!where) return false;
  blocks_.push_back(*where);
  passed_on_.push_back(received);
  return true;
}

void envelope::discard(shm::slab_writer& slab, const shm::segment& home) const noexcept {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (passed_on_[i] == nullptr) slab.take_back(blocks_[i], home);
  }
}

void envelope::hand_over() const noexcept {
  for (shm::block* each : passed_on_) {
    if (each != nullptr) each->hand_over();
  }
}

}  // namespace triga::proc
