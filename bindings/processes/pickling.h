// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "bindings/types/pickle_sink.h"
#include "runtime/proc/channel.h"

namespace triga {

// Picklers kept between messages: making one costs more than a small message.
class encoders {
 public:
  // `make_pickler(sink)` gives a pickler that writes to a PickleSink.
  explicit encoders(pybind11::object make_pickler);

  // A pickled object, and the pickler that goes back to the others with it.
  class encoded {
   public:
    encoded(encoders& home, py::ref sink, pybind11::object pickler) noexcept;
    encoded(const encoded&) = delete;
    encoded& operator=(const encoded&) = delete;
    encoded(encoded&& other) noexcept = default;
    encoded& operator=(encoded&&) = delete;
    ~encoded();

    [[nodiscard]] proc::content content() const;
    [[nodiscard]] std::size_t size() const noexcept { return content_of(sink_.get()).size(); }

   private:
    encoders* home_;
    py::ref sink_;
    pybind11::object pickler_;
  };

  // Throws error_already_set with what pickling raised.
  encoded encode(pybind11::handle object);

 private:
  struct idle_pickler {
    py::ref sink;
    pybind11::object pickler;
  };

  pybind11::object make_pickler_;
  pybind11::object sink_type_;
  std::vector<idle_pickler> idle_;  // guarded by the GIL
};

// The body of a message that another process sent; throws OSError if the machine has no memory to map it.
proc::byte_span body_of(proc::message& from);

// Unpickles what another process sent.
class decoder {
 public:
  decoder();
  // Throws error_already_set with what unpickling raised, OSError if the machine has no memory to map the
  // message.
  [[nodiscard]] pybind11::object decode(proc::message& from) const;
  [[nodiscard]] pybind11::object decode(proc::byte_span pickle) const;
  // The buffers leave their message.
  [[nodiscard]] pybind11::object decode(proc::byte_span pickle, std::vector<shm::block>& buffers) const;

 private:
  pybind11::object loads_;
  pybind11::object shared_buffer_type_;
};

}  // namespace triga
