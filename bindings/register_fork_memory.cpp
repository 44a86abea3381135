// SPDX-License-Identifier: MIT
// What makes forks cheap: memory in huge pages, and objects whose reference counts are not written.
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

#include "bindings/py/gil.h"
#include "bindings/py/immortal.h"
#include "bindings/register.h"
#include "runtime/proc/fork_memory.h"

namespace triga {
namespace {

namespace pb = pybind11;

// The allocator of arenas that stood before ours. There is one a process, whatever the number of
// interpreters.
const PyObjectArenaAllocator& stock_arenas() {
  static const PyObjectArenaAllocator stock = [] {
    PyObjectArenaAllocator found{};
    PyObject_GetArenaAllocator(&found);
    return found;
  }();
  return stock;
}

// Arenas of another size are the interpreter's own affair, and all of them are given back by munmap(2), as it
// does by itself. Nothing is read from the first argument: another interpreter's thread may ask for an arena
// while the allocator is set, and would have the new function with the old argument.
void* allocate_arena(void* /*context*/, std::size_t size) {
  if (size == proc::arena_size) return proc::map_arena();
  return stock_arenas().alloc(stock_arenas().ctx, size);
}

void free_arena(void* /*context*/, void* arena, std::size_t size) {
  stock_arenas().free(stock_arenas().ctx, arena, size);
}

void use_huge_arenas() {
  PyObjectArenaAllocator ours{.ctx = stock_arenas().ctx, .alloc = &allocate_arena, .free = &free_arena};
  PyObject_SetArenaAllocator(&ours);
}

std::size_t collapse_filled_memory(double seconds) {
  // Safe: nothing of Python's is touched but its memory, which stays what it is.
  const py::gil_release unlocked;
  return proc::collapse_filled_memory(nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
}

std::size_t make_immortal(const pb::list& objects) { return py::make_immortal(objects.ptr()); }

std::size_t make_modules_immortal(const pb::list& modules) {
  return py::make_modules_immortal(modules.ptr());
}

}  // namespace

void register_fork_memory(pb::module_& core) {
  core.def("use_huge_arenas", &use_huge_arenas,
           "From now on the memory of small objects comes in huge pages, of which a fork copies one entry.");
  core.def("use_small_pages", &proc::use_small_pages, "Ends that, in a process that was forked.");
  core.def("collapse_into_huge_pages", &proc::collapse_into_huge_pages,
           "Moves the memory that this process has already into huge pages. Returns how many were made.");
  core.def("collapse_filled_memory", &collapse_filled_memory, pb::arg("seconds"),
           "The same where nearly all of the memory is in use, and for so long. Returns how many there are.");
  core.def("consolidate_heap", &proc::consolidate_heap,
           "Brings together what was freed to the C library in small pieces, before a fork.");
  core.def("make_immortal", &make_immortal, pb::arg("objects"),
           "Makes those of OBJECTS immortal of which modules and classes consist. Returns how many.");
  core.def("make_modules_immortal", &make_modules_immortal, pb::arg("modules"),
           "Makes immortal what MODULES define at their top level. Returns how many objects.");
}

}  // namespace triga
