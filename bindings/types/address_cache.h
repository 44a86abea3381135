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
// Each address has two neighbouring places in the table, given by its bytes: with one, a third of a hundred
// peers would drive each other out. A second table finds the place by the tuple's identity, which is enough
// since the entry keeps the tuple alive. A tuple of str and int cannot change. Used under the GIL, one for
// each interpreter; the memory comes with the first address.
class address_cache {
 public:
  // The tuple of an IPv4 or IPv6 address. Null: an exception is set.
  py::ref tuple_of(const net::address& address);
  // The address that exactly this tuple object was made of, or null.
  [[nodiscard]] const net::address* address_of(PyObject* tuple) const noexcept;

  int traverse(visitproc visit, void* arg) const;
  void clear() noexcept { entries_.reset(); }

 private:
  static constexpr std::size_t size = 1024;
  static constexpr std::size_t identities = 4096;

  struct entry {
    net::address address;
    py::ref tuple;
  };
  struct table {
    std::array<entry, size> entries;
    std::array<std::uint16_t, identities> by_identity{};  // places in `entries`
  };

  // Where the address is, or the place that it is to have.
  [[nodiscard]] std::size_t place_of(const net::address& address) const noexcept;

  std::unique_ptr<table> entries_;
};

}  // namespace triga::sockets
