// SPDX-License-Identifier: MIT
#include "bindings/types/address_cache.h"

#include <new>

#include "bindings/types/socket_address.h"

namespace triga::sockets {
namespace {

std::size_t identity_place(const PyObject* tuple, std::size_t size) noexcept {
  const auto bits = reinterpret_cast<std::uintptr_t>(tuple) >> 4;  // objects are aligned to 16 bytes
  return (bits ^ bits >> 8) % size;
}

}  // namespace

py::ref address_cache::tuple_of(const net::address& address) {
  if (!entries_) entries_.reset(new (std::nothrow) table);
  if (!entries_) return to_python(address);
  const std::size_t place = address.hash() % size;
  entry& found = entries_->entries[place];
  if (found.tuple && found.address == address) return found.tuple;
  py::ref tuple = to_python(address);
  if (!tuple) return tuple;
  found.address = address;
  found.tuple = tuple;
  entries_->by_identity[identity_place(tuple.get(), size)] = static_cast<std::uint8_t>(place);
  return tuple;
}

const net::address* address_cache::address_of(PyObject* tuple) const noexcept {
  if (!entries_) return nullptr;
  const entry& found = entries_->entries[entries_->by_identity[identity_place(tuple, size)]];
  return found.tuple.get() == tuple ? &found.address : nullptr;
}

int address_cache::traverse(visitproc visit, void* arg) const {
  if (!entries_) return 0;
  for (const entry& each : entries_->entries) Py_VISIT(each.tuple.get());
  return 0;
}

}  // namespace triga::sockets
