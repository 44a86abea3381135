// SPDX-License-Identifier: MIT
#include <cerrno>

#include "bindings/native/item_loop.h"
#include "runtime/files/read.h"
#include "runtime/trace/counters.h"

namespace triga {

namespace py11 = pybind11;

namespace {

py11::list digests_of(const py11::list& errors, const std::vector<std::byte>& digests, std::size_t size) {
  py11::list list(errors.size());
  for (std::size_t i = 0; i < errors.size(); ++i) {
    if (!errors[i].is_none()) {
      list[i] = py11::none();
    } else {
      list[i] = py11::bytes(reinterpret_cast<const char*>(digests.data() + i * size), size);
    }
  }
  return list;
}

}  // namespace

class file_hashing::hash_part final : public native_loop::part {
 public:
  explicit hash_part(file_hashing& loop)
      : loop_(loop),
        digest_(loop.algorithm_),
        block_(std::make_unique_for_overwrite<std::byte[]>(files::block_size)) {}

  void run(exec::index_range range) noexcept override {
    for (std::size_t i = range.begin; i < range.end; ++i) loop_.error_of(i).number = hash(i);
  }

 private:
  // An errno, or 0.
  int hash(std::size_t item) noexcept {
    const std::size_t size = loop_.algorithm_.size();
    const std::span<std::byte> to(loop_.digests_.data() + item * size, size);
    if (!digest_.start()) return EACCES;
    const auto read = files::hash_file(loop_.paths_[item], digest_, {block_.get(), files::block_size},
                                       [this] { return loop_.stop_requested(); });
    if (!read) return read.error();
    if (!digest_.finish(to)) return EACCES;
    trace::count(trace::counter::files_read);
    trace::count(trace::counter::items_hashed);
    return 0;
  }

  file_hashing& loop_;
  codec::digest digest_;
  const std::unique_ptr<std::byte[]> block_;
};

file_hashing::file_hashing(std::vector<std::string> paths, const codec::digest_algorithm& algorithm)
    : item_loop(paths.size()),
      paths_(std::move(paths)),
      algorithm_(algorithm),
      digests_(paths_.size() * algorithm.size()) {}

std::unique_ptr<native_loop::part> file_hashing::take_part() { return std::make_unique<hash_part>(*this); }

py11::list file_hashing::results() const { return digests_of(errors(), digests_, algorithm_.size()); }

class buffer_hashing::hash_part final : public native_loop::part {
 public:
  explicit hash_part(buffer_hashing& loop) : loop_(loop), digest_(loop.algorithm_) {}

  void run(exec::index_range range) noexcept override {
    const std::size_t size = loop_.algorithm_.size();
    for (std::size_t i = range.begin; i < range.end; ++i) {
      const std::span<std::byte> to(loop_.digests_.data() + i * size, size);
      const bool well = digest_.start() && update(loop_.buffers_[i].bytes()) && digest_.finish(to);
      loop_.error_of(i).number = well ? 0 : loop_.cancelled() ? ECANCELED : EACCES;
      if (well) trace::count(trace::counter::items_hashed);
    }
  }

 private:
  // In parts, between which the loop may be cancelled.
  bool update(std::span<const std::byte> data) noexcept {
    constexpr std::size_t most = 8 << 20;
    while (!data.empty()) {
      const auto now = data.first(std::min(most, data.size()));
      if (loop_.stop_requested() || !digest_.update(now)) return false;
      data = data.subspan(now.size());
    }
    return true;
  }

  buffer_hashing& loop_;
  codec::digest digest_;
};

buffer_hashing::buffer_hashing(const py11::list& items, const codec::digest_algorithm& algorithm)
    : item_loop(items.size()),
      buffers_(hold_buffers(items)),
      algorithm_(algorithm),
      digests_(items.size() * algorithm.size()) {}

std::unique_ptr<native_loop::part> buffer_hashing::take_part() { return std::make_unique<hash_part>(*this); }

py11::list buffer_hashing::results() const { return digests_of(errors(), digests_, algorithm_.size()); }

}  // namespace triga
