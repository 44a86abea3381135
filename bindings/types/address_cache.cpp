// SPDX-License-Identifier: MIT
#include "bindings/types/address_cache.h"

#include <new>

#include "bindings/types/socket_address.h"

namespace triga::sockets {
namespace {

std::size_t identity_place(const PyObject* tuple, std::size_t size) noexcept {
  const auto bits = reinterpret_cast<std::uintptr_t>(tuple) >> 4;  // objects are aligned to 16 bytes
  return (bits ^ bits >> 12) % size;
}

}  // namespace

std::size_t address_cache::place_of(const net::address& address) const noexcept {
  const std::size_t first = address.hash() % size;
  const entry& found = entries_->entries[first];
  if (!found.tuple || found.address == address) return first;
  const entry& neighbour = entries_->entries[first ^ 1U];
  return !neighbour.tuple || neighbour.address == address ? first ^ 1U : first;
}

py::ref address_cache::tuple_of(const net::address& address) {
  if (!entries_) entries_.reset(new (std::nothrow) table);
  if (!entries_) return to_python(address);
  const std::size_t place = place_of(address);
  entry& found = entries_->entries[place];
  if (found.tuple && found.address == address) return found.tuple;
  py::ref tuple = to_python(address);
  if (!tuple) return tuple;
  found.address = address;
  found.tuple = tuple;
  entries_->by_identity[identity_place(tuple.get(), identities)] = static_cast<std::uint16_t>(place);
  return tuple;
}

const net::address* address_cache::address_of(PyObject* tuple) const noexcept {
  if (!entries_) return nullptr;
  const entry& found = entries_->entries[entries_->by_identity[identity_place(tuple, identities)]];
  return found.tuple.get() == tuple ? &found.address : nullptr;
}

int address_cache::traverse(visitproc visit, void* arg) const {
  if (!entries_) return 0;
  for (const entry& each : entries_->entries) Py_VISIT(each.tuple.get());
  return 0;
}

}  // namespace triga::sockets
