// SPDX-License-Identifier: MIT
#include "bindings/processes/pickling.h"

#include <cerrno>

#include "bindings/py/gil.h"
#include "bindings/types/shared_buffer.h"

namespace triga {
namespace {

pybind11::object core_attribute(const char* name) {
  return pybind11::module_::import("triga._core").attr(name);
}

}  // namespace

encoders::encoders(pybind11::object make_pickler)
    : make_pickler_(std::move(make_pickler)), sink_type_(core_attribute("PickleSink")) {}

encoders::encoded::encoded(encoders& home, py::ref sink, pybind11::object pickler) noexcept
    : home_(&home), sink_(std::move(sink)), pickler_(std::move(pickler)) {}

encoders::encoded::~encoded() {
  if (!sink_) return;
  content_of(sink_.get()).clear();
  home_->idle_.push_back({std::move(sink_), std::move(pickler_)});
}

proc::content encoders::encoded::content() const {
  pickle_content& held = content_of(sink_.get());
  return {.body = held.body(), .buffers = held.buffers(), .received = held.received()};
}

encoders::encoded encoders::encode(pybind11::handle object) {
  idle_pickler used;
  if (idle_.empty()) {
    used.sink = py::ref::steal(PyObject_CallNoArgs(sink_type_.ptr()));
    if (!used.sink) throw pybind11::error_already_set();
    used.pickler = make_pickler_(pybind11::handle(used.sink.get()));
  } else {
    used = std::move(idle_.back());
    idle_.pop_back();
  }
  // A pickler whose dump() failed is not used again: its state is unknown.
  used.pickler.attr("dump")(object);
  used.pickler.attr("clear_memo")();
  return {*this, std::move(used.sink), std::move(used.pickler)};
}

decoder::decoder()
    : loads_(pybind11::module_::import("pickle").attr("loads")),
      shared_buffer_type_(core_attribute("SharedBuffer")) {}

proc::byte_span body_of(proc::message& from) {
  if (!from.body_in_slab()) return *from.body();
  const auto body = [&] {
    // Safe: the message is the caller's own, and mapping it touches no Python object.
    const py::gil_release released;
    return from.body();
  }();
  if (!body) {
    errno = body.error();
    PyErr_SetFromErrno(PyExc_OSError);
    throw pybind11::error_already_set();
  }
  return *body;
}

pybind11::object decoder::decode(proc::message& from) const { return decode(body_of(from), from.buffers); }

pybind11::object decoder::decode(proc::byte_span pickle) const {
  return loads_(pybind11::memoryview::from_memory(static_cast<const void*>(pickle.data()),
                                                  static_cast<pybind11::ssize_t>(pickle.size())));
}

pybind11::object decoder::decode(proc::byte_span pickle, std::vector<shm::block>& blocks) const {
  if (blocks.empty()) return decode(pickle);
  const auto view = pybind11::memoryview::from_memory(static_cast<const void*>(pickle.data()),
                                                      static_cast<pybind11::ssize_t>(pickle.size()));
  pybind11::list buffers;
  for (shm::block& each : blocks) {
    auto* const type = reinterpret_cast<PyTypeObject*>(shared_buffer_type_.ptr());
    auto buffer = pybind11::reinterpret_steal<pybind11::object>(make_buffer(type, std::move(each)));
    if (!buffer) throw pybind11::error_already_set();
    buffers.append(buffer);
  }
  return loads_(view, pybind11::arg("buffers") = buffers);
}

}  // namespace triga
