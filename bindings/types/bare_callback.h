// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstdint>

#include "runtime/loop/event_loop.h"

namespace triga::handles {

// A callback in a loop's queue that has no handle: _asyncio wants none of a task's steps and a future's
// callbacks, and others have lost theirs (unwrap()). The references are the queue's. How it is to be read
// stands in the lowest bits of the context's address, so that a queue's item is three words.
struct bare_callback {
  // Of the context's bits.
  static constexpr std::uintptr_t with_tuple = 1;  // `argument` is a tuple of arguments
  static constexpr std::uintptr_t with_snapshot =
      2;                                            // `context` is one of context_cache's, not to be entered
  static constexpr std::uintptr_t thread_safe = 4;  // the handle was call_soon_threadsafe()'s
  static constexpr std::uintptr_t all_bits = with_tuple | with_snapshot | thread_safe;

  bare_callback(PyObject* called, PyObject* with, PyObject* in, std::uintptr_t bits = 0) noexcept
      : callback(called), argument(with), context(in), form(bits) {}
  explicit bare_callback(const loop::foreign_callback& item) noexcept
      : callback(static_cast<PyObject*>(item.target)),
        argument(static_cast<PyObject*>(item.argument)),
        context(reinterpret_cast<PyObject*>(reinterpret_cast<std::uintptr_t>(item.context) & ~all_bits)),
        form(reinterpret_cast<std::uintptr_t>(item.context) & all_bits) {}

  [[nodiscard]] loop::foreign_callback packed() const noexcept {
    return {.target = callback,
            .argument = argument,
            .context = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(context) | form)};
  }
  [[nodiscard]] bool has(std::uintptr_t bit) const noexcept { return (form & bit) != 0; }

  PyObject* callback;
  PyObject* argument;  // null: none
  PyObject* context;
  std::uintptr_t form;
};

}  // namespace triga::handles
