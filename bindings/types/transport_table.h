// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace triga::loops {

// The stream transports of one loop, by descriptor.
//
// asyncio has a dictionary of weak references for this, `_transports`, and its selector keeps a transport
// that waits for something alive through the handle of its reader. The dictionary's entry, the weak reference
// and an element of a set for what is kept are 200 bytes a connection, a third of all that an idle one takes;
// this is one word. A transport is here from its making until it has left the loop, and takes itself off: no
// reference is held to one that nothing is waited for. Used under the GIL.
class transport_table {
 public:
  transport_table() = default;
  transport_table(const transport_table&) = delete;
  transport_table& operator=(const transport_table&) = delete;
  transport_table(transport_table&&) = delete;
  transport_table& operator=(transport_table&&) = delete;
  ~transport_table() { let_go_of_all(); }

  // The transport of a descriptor, in place of the one that it had before, if any.
  void put(int fd, PyObject* transport);
  // None from now on, though one that is kept stays so. False: there was none.
  bool take_off(int fd);
  // Takes it off and lets go of it, which may be the end of it. Nothing happens if it is not here.
  void remove(int fd, PyObject* transport) noexcept;

  // Holds a reference, once; lets go of it, if it is held.
  void keep(int fd, PyObject* transport);
  void let_go(int fd, PyObject* transport) noexcept;
  void let_go_of_all() noexcept;

  [[nodiscard]] PyObject* find(int fd) const noexcept;  // borrowed; null: none
  [[nodiscard]] std::size_t numbers() const noexcept { return by_descriptor_.size(); }  // above every fd's
  int traverse(visitproc visit_one, void* argument) const;

 private:
  struct entry {
    std::uintptr_t tagged = 0;  // the transport, and in the lowest bit whether it is kept

    [[nodiscard]] PyObject* transport() const noexcept {
      return reinterpret_cast<PyObject*>(tagged & ~std::uintptr_t{1});
    }
    [[nodiscard]] bool kept() const noexcept { return (tagged & 1) != 0; }
    [[nodiscard]] bool holds(const PyObject* which) const noexcept { return transport() == which; }
  };

  [[nodiscard]] entry* entry_of(int fd, const PyObject* transport) noexcept;

  std::deque<entry> by_descriptor_;   // grows without a copy, and without holes in the heap
  std::vector<PyObject*> displaced_;  // kept, while their descriptor's number has become another's
};

}  // namespace triga::loops
