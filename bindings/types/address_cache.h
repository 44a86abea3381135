// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "bindings/py/ref.h"
#include "runtime/net/address.h"

namespace triga::sockets {

// The addresses of those whom datagrams came from lately, in both forms, so that a peer's tuple is made once
// and read back for nothing when a program answers to it.
//
// Each address has one place in the table, given by its bytes; a second table finds the place by the tuple's
// identity, which is enough since the entry keeps the tuple alive. A tuple of str and int cannot change. Used
// under the GIL, one for each interpreter; the memory comes with the first address.
class address_cache {
 public:
  // The tuple of an IPv4 or IPv6 address. Null: an exception is set.
  py::ref tuple_of(const net::address& address);
  // The address that exactly this tuple object was made of, or null.
  [[nodiscard]] const net::address* address_of(PyObject* tuple) const noexcept;

  int traverse(visitproc visit, void* arg) const;
  void clear() noexcept { entries_.reset(); }

 private:
  static constexpr std::size_t size = 256;

  struct entry {
    net::address address;
    py::ref tuple;
  };
  struct table {
    std::array<entry, size> entries;
    std::array<std::uint8_t, size> by_identity{};  // places in `entries`
  };

  std::unique_ptr<table> entries_;
};

}  // namespace triga::sockets
