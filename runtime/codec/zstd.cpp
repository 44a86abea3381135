// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "runtime/base/scope_exit.h"
#include "runtime/codec/compression.h"
#include "runtime/codec/library.h"

namespace triga::codec {
namespace {

// ZSTD_inBuffer and ZSTD_outBuffer.
struct in_buffer {
  const void* data;
  std::size_t size;
  std::size_t position;
};
struct out_buffer {
  void* data;
  std::size_t size;
  std::size_t position;
};

constexpr unsigned long long size_unknown = ~0ULL;           // ZSTD_CONTENTSIZE_UNKNOWN
constexpr unsigned long long size_error = ~0ULL - 1;         // ZSTD_CONTENTSIZE_ERROR
constexpr std::size_t block = 128 << 10;                     // ZSTD_BLOCKSIZE_MAX
constexpr std::size_t trusted_size = std::size_t{64} << 20;  // a header that promises more is not believed

class zstd final : public compression {
 public:
  zstd() {
    static constexpr std::array<const char*, 1> names = {"libzstd.so.1"};
    const library found(names, "libzstd1");
    found.find("ZSTD_isError", is_error_);
    found.find("ZSTD_getErrorName", error_name_);
    found.find("ZSTD_compressBound", compress_bound_);
    found.find("ZSTD_compress", compress_);
    found.find("ZSTD_minCLevel", least_level_);
    found.find("ZSTD_maxCLevel", greatest_level_);
    found.find("ZSTD_getFrameContentSize", frame_content_size_);
    found.find("ZSTD_createDStream", create_stream_);
    found.find("ZSTD_freeDStream", free_stream_);
    found.find("ZSTD_decompressStream", decompress_stream_);
  }

  [[nodiscard]] levels level_range() const noexcept override {
    return {.least = least_level_(), .greatest = greatest_level_(), .usual = 3};
  }

  output compress(std::span<const std::byte> data, int level) const override {
    output out;
    const std::span<std::byte> room = out.room(compress_bound_(data.size()));
    out.wrote(checked(compress_(room.data(), room.size(), data.data(), data.size(), level)));
    out.trim();
    return out;
  }

  // One frame or several, one behind the other, as the zstd program writes them.
  output decompress(std::span<const std::byte> data, std::size_t most) const override {
    void* const stream = create_stream_();
    if (stream == nullptr) throw std::bad_alloc();
    const scope_exit end([&]() noexcept { free_stream_(stream); });
    output out;
    in_buffer in{data.data(), data.size(), 0};
    std::size_t wanted = first_room(data);
    for (std::size_t hint = 1; hint != 0 || in.position < in.size; wanted = block) {
      const std::span<std::byte> room = out.room(wanted);
      out_buffer to{room.data(), room.size(), 0};
      const std::size_t before = in.position;
      hint = checked(decompress_stream_(stream, &to, &in));
      out.wrote(to.position);
      if (out.size() > most) throw codec_error("the decompressed data is larger than max_size");
      if (hint != 0 && in.position == in.size && in.position == before && to.position < to.size) {
        throw codec_error("incomplete or truncated frame");
      }
    }
    out.trim();
    return out;
  }

 private:
  [[nodiscard]] std::size_t first_room(std::span<const std::byte> data) const {
    const unsigned long long size = frame_content_size_(data.data(), data.size());
    if (size == size_error) throw codec_error("not a zstd frame");
    if (size == size_unknown) return std::max(block, data.size() * 2);
    // One byte more, so that the end is seen without another turn.
    return std::min<std::size_t>(static_cast<std::size_t>(size), trusted_size) + 1;
  }

  std::size_t checked(std::size_t code) const {
    if (is_error_(code) != 0) throw codec_error(error_name_(code));
    return code;
  }

  unsigned (*is_error_)(std::size_t) = nullptr;
  const char* (*error_name_)(std::size_t) = nullptr;
  std::size_t (*compress_bound_)(std::size_t) = nullptr;
  std::size_t (*compress_)(void*, std::size_t, const void*, std::size_t, int) = nullptr;
  int (*least_level_)() = nullptr;
  int (*greatest_level_)() = nullptr;
  unsigned long long (*frame_content_size_)(const void*, std::size_t) = nullptr;
  void* (*create_stream_)() = nullptr;
  std::size_t (*free_stream_)(void*) = nullptr;
  std::size_t (*decompress_stream_)(void*, out_buffer*, in_buffer*) = nullptr;
};

}  // namespace

std::unique_ptr<compression> find_zstd() { return std::make_unique<zstd>(); }

}  // namespace triga::codec
