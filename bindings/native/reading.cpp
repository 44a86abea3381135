// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstring>
#include <new>

#include "bindings/native/item_loop.h"
#include "runtime/files/read.h"
#include "runtime/trace/counters.h"

namespace triga {

namespace py11 = pybind11;

class file_sizes::size_part final : public native_loop::part {
 public:
  explicit size_part(file_sizes& loop) noexcept : loop_(loop) {}

  void run(exec::index_range range) noexcept override {
    for (std::size_t i = range.begin; i < range.end; ++i) {
      // A file that cannot be looked at cannot be opened either: reading it gives the error.
      const auto size = files::size_of(loop_.paths_[i]);
      loop_.sizes_[i] = size ? *size : 0;
      loop_.succeeded(i);
    }
  }

 private:
  file_sizes& loop_;
};

file_sizes::file_sizes(std::vector<std::string> paths)
    : item_loop(paths.size()), paths_(std::move(paths)), sizes_(paths_.size()) {}

std::unique_ptr<native_loop::part> file_sizes::take_part() { return std::make_unique<size_part>(*this); }

class file_reading::read_part final : public native_loop::part {
 public:
  explicit read_part(file_reading& loop) noexcept : loop_(loop) {}

  void run(exec::index_range range) noexcept override {
    for (std::size_t i = range.begin; i < range.end; ++i) loop_.error_of(i).number = read(i);
  }

 private:
  int read(std::size_t item) noexcept {
    file& to = loop_.files_[item];
    try {
      const auto filled =
          files::read_file(loop_.paths_[item], to.memory, to.rest, [this] { return loop_.stop_requested(); });
      if (!filled) return filled.error();
      to.filled = *filled;
      trace::count(trace::counter::files_read);
      return 0;
    } catch (const std::bad_alloc&) {
      return ENOMEM;
    }
  }

  file_reading& loop_;
};

file_reading::file_reading(const file_sizes& sizes)
    : item_loop(sizes.paths().size()), paths_(sizes.paths()), files_(paths_.size()) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    const std::size_t size = sizes.size_of(i);
    file& each = files_[i];
    each.bytes = py::ref::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
    if (!each.bytes) throw py11::error_already_set();
    each.memory = {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(each.bytes.get())), size};
  }
}

std::unique_ptr<native_loop::part> file_reading::take_part() { return std::make_unique<read_part>(*this); }

py11::list file_reading::results() {
  const py11::list failed = errors();
  py11::list list(files_.size());
  for (std::size_t i = 0; i < files_.size(); ++i) {
    file& each = files_[i];
    if (!failed[i].is_none()) {
      list[i] = py11::none();
      continue;
    }
    PyObject* bytes = each.bytes.release();
    const std::size_t size = each.filled + each.rest.size();
    if (size != each.memory.size() && _PyBytes_Resize(&bytes, static_cast<Py_ssize_t>(size)) != 0) {
      throw py11::error_already_set();
    }
    if (!each.rest.empty()) {
      std::memcpy(PyBytes_AS_STRING(bytes) + each.filled, each.rest.data(), each.rest.size());
    }
    list[i] = py11::reinterpret_steal<py11::object>(bytes);
  }
  return list;
}

}  // namespace triga
