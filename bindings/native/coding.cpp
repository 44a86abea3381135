// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "bindings/native/item_loop.h"
#include "runtime/trace/counters.h"

namespace triga {

namespace py11 = pybind11;

class buffer_coding::code_part final : public native_loop::part {
 public:
  explicit code_part(buffer_coding& loop) noexcept : loop_(loop) {}

  void run(exec::index_range range) noexcept override {
    for (std::size_t i = range.begin; i < range.end; ++i) code(i);
  }

 private:
  void code(std::size_t item) noexcept {
    item_error& error = loop_.error_of(item);
    try {
      loop_.outputs_[item] = loop_.code(item);
      error.number = 0;
      trace::count(loop_.direction_ == direction::compress ? trace::counter::items_compressed
                                                           : trace::counter::items_expanded);
    } catch (const codec::codec_error& refused) {
      error.text = refused.what();
    } catch (const std::bad_alloc&) {
      error.number = ENOMEM;
    }
  }

  buffer_coding& loop_;
};

buffer_coding::buffer_coding(const py11::list& items, std::shared_ptr<const codec::compression> with,
                             direction what, std::size_t limit, int level)
    : item_loop(items.size()),
      buffers_(hold_buffers(items)),
      with_(std::move(with)),
      direction_(what),
      limit_(limit),
      level_(level),
      outputs_(items.size()) {}

std::unique_ptr<native_loop::part> buffer_coding::take_part() { return std::make_unique<code_part>(*this); }

codec::output buffer_coding::code(std::size_t item) const {
  const std::span<const std::byte> data = buffers_[item].bytes();
  return direction_ == direction::compress ? with_->compress(data, level_) : with_->decompress(data, limit_);
}

class output_copying::copy_part final : public native_loop::part {
 public:
  explicit copy_part(output_copying& loop) noexcept : loop_(loop) {}

  void run(exec::index_range range) noexcept override {
    for (std::size_t i = range.begin; i < range.end; ++i) {
      const std::span<const std::byte> from = loop_.outputs_[i].bytes();
      if (!from.empty()) std::memcpy(loop_.memory_[i], from.data(), from.size());
      loop_.succeeded(i);
    }
  }

 private:
  output_copying& loop_;
};

output_copying::output_copying(const buffer_coding& from)
    : item_loop(from.outputs().size()), outputs_(from.outputs()) {
  for (const codec::output& each : outputs_) {
    py::ref copy = py::ref::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(each.size())));
    if (!copy) throw py11::error_already_set();
    memory_.push_back(reinterpret_cast<std::byte*>(PyBytes_AS_STRING(copy.get())));
    copies_.push_back(std::move(copy));
  }
}

std::unique_ptr<native_loop::part> output_copying::take_part() { return std::make_unique<copy_part>(*this); }

py11::list output_copying::results() {
  py11::list list(copies_.size());
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    list[i] = py11::reinterpret_steal<py11::object>(copies_[i].release());
  }
  return list;
}

}  // namespace triga
