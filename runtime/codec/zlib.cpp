// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <climits>

#include "runtime/base/scope_exit.h"
#include "runtime/codec/compression.h"
#include "runtime/codec/library.h"

namespace triga::codec {
namespace {

// zlib's z_stream: its layout is part of the library's binary interface since 1.0.
struct stream {
  const unsigned char* next_in;
  unsigned int avail_in;
  unsigned long total_in;
  unsigned char* next_out;
  unsigned int avail_out;
  unsigned long total_out;
  const char* message;
  void* state;
  void* (*allocate)(void*, unsigned int, unsigned int);
  void (*free)(void*, void*);
  void* opaque;
  int data_type;
  unsigned long adler;
  unsigned long reserved;
};

constexpr int ok = 0;
constexpr int stream_end = 1;
constexpr int buffer_error = -5;
constexpr int memory_error = -4;
constexpr int no_flush = 0;
constexpr int finish = 4;
constexpr int deflated = 8;
constexpr int window_bits = 15;
constexpr int zlib_or_gzip = 32;  // added to the window's bits: look at the header
constexpr int memory_level = 8;
constexpr std::size_t first_room = 16 << 10;

// Hands spans of any size to a stream, whose counts are 32 bits wide.
class feeder {
 public:
  explicit feeder(std::span<const std::byte> data) noexcept : left_(data) {}

  // Gives the stream more, if it has none left. True: that is the last of it.
  bool feed(stream& to) noexcept {
    if (to.avail_in == 0) {
      const std::size_t part = std::min<std::size_t>(left_.size(), UINT_MAX);
      to.next_in = reinterpret_cast<const unsigned char*>(left_.data());
      to.avail_in = static_cast<unsigned int>(part);
      left_ = left_.subspan(part);
    }
    return left_.empty();
  }

 private:
  std::span<const std::byte> left_;
};

class zlib final : public compression {
 public:
  zlib() {
    static constexpr std::array<const char*, 2> names = {"libz.so.1", "libz-ng-compat.so.1"};
    const library found(names, "zlib1g");
    found.find("zlibVersion", version_);
    found.find("deflateInit2_", deflate_init_);
    found.find("deflate", deflate_);
    found.find("deflateEnd", deflate_end_);
    found.find("deflateBound", deflate_bound_);
    found.find("inflateInit2_", inflate_init_);
    found.find("inflate", inflate_);
    found.find("inflateEnd", inflate_end_);
  }

  [[nodiscard]] levels level_range() const noexcept override {
    return {.least = 0, .greatest = 9, .usual = 6};
  }

  output compress(std::span<const std::byte> data, int level) const override {
    stream with{};
    check(deflate_init_(&with, level, deflated, window_bits, memory_level, 0, version_(), sizeof with), with);
    const scope_exit end([&]() noexcept { deflate_end_(&with); });
    output out;
    out.room(deflate_bound_(&with, data.size()));
    feeder in(data);
    for (int status = ok; status != stream_end;) {
      const bool last = in.feed(with);
      status = step(with, out, first_room, [&] { return deflate_(&with, last ? finish : no_flush); });
    }
    out.trim();
    return out;
  }

  output decompress(std::span<const std::byte> data, std::size_t most) const override {
    stream with{};
    check(inflate_init_(&with, window_bits + zlib_or_gzip, version_(), sizeof with), with);
    const scope_exit end([&]() noexcept { inflate_end_(&with); });
    output out;
    feeder in(data);
    bool last = false;
    for (int status = ok; status != stream_end;) {
      last = in.feed(with);
      status =
          step(with, out, std::max(first_room, data.size() * 2), [&] { return inflate_(&with, no_flush); });
      // There was room, so it was input that was wanting.
      if (status == buffer_error && last) throw codec_error("incomplete or truncated stream");
      if (out.size() > most) throw codec_error("the decompressed data is larger than max_size");
    }
    if (!last || with.avail_in != 0) throw codec_error("there is data behind the end of the stream");
    out.trim();
    return out;
  }

 private:
  // One call of deflate() or inflate() with the output's room.
  template <class Call>
  static int step(stream& with, output& out, std::size_t room_wanted, Call call) {
    const std::span<std::byte> room = out.room(out.size() == 0 ? room_wanted : 1);
    const auto given = static_cast<unsigned int>(std::min<std::size_t>(room.size(), UINT_MAX));
    with.next_out = reinterpret_cast<unsigned char*>(room.data());
    with.avail_out = given;
    const int status = call();
    out.wrote(given - with.avail_out);
    // Z_BUF_ERROR: nothing could be done for lack of input or room, of which there is more the next time.
    if (status != stream_end && status != buffer_error) check(status, with);
    return status;
  }

  static void check(int status, const stream& with) {
    if (status == ok) return;
    if (status == memory_error) throw std::bad_alloc();
    throw codec_error(with.message != nullptr ? with.message
                                              : "error " + std::to_string(status) + " of zlib");
  }

  const char* (*version_)() = nullptr;
  int (*deflate_init_)(stream*, int, int, int, int, int, const char*, int) = nullptr;
  int (*deflate_)(stream*, int) = nullptr;
  int (*deflate_end_)(stream*) = nullptr;
  unsigned long (*deflate_bound_)(stream*, unsigned long) = nullptr;
  int (*inflate_init_)(stream*, int, const char*, int) = nullptr;
  int (*inflate_)(stream*, int) = nullptr;
  int (*inflate_end_)(stream*) = nullptr;
};

}  // namespace

std::unique_ptr<compression> find_zlib() { return std::make_unique<zlib>(); }

}  // namespace triga::codec
