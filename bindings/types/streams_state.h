// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include "bindings/py/ref.h"

namespace triga::streams {

// Names of methods that are called, interned. They are looked up at each call.
struct method_names {
  py::ref cancelled, set_result, set_exception, create_future, get_debug;
  py::ref pause_reading, resume_reading, is_closing, write, writelines, write_eof, can_write_eof, close,
      get_extra_info;
  py::ref exception, feed_data, drain_helper, get_close_waiter, init;
  // Those of a reader that its other methods call: a subclass may have others.
  py::ref read, readline, readuntil, readexactly, anext, wait_for_data, maybe_resume_transport;

  bool intern();
};

struct state {
  // The native halves of asyncio's classes, and of what their methods return.
  py::ref reader_base, writer_base, protocol_base, coroutine, function_like;
  // The whole classes, made by triga._loop.streams: an instance of exactly one of them has no overridden
  // method.
  py::ref reader, writer, protocol;
  py::ref stock_reader, stock_writer;  // asyncio's own, whose methods do what is rare
  py::ref incomplete_read_error, limit_overrun_error;
  py::ref default_limit;
  py::ref newline;  // (b"\n",): the separators of a line
  method_names names;
  bool asserts = true;  // asyncio's assert statements do something (no python -O)

  int traverse(visitproc visit, void* arg) const;
  void clear();
};

}  // namespace triga::streams
