// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <cstdint>

#include "bindings/types/futures_state.h"
#include "bindings/types/loop.h"
#include "bindings/types/queue_state.h"
#include "bindings/types/socket_operation.h"
#include "bindings/types/stream_transport.h"
#include "bindings/types/streams_state.h"
#include "bindings/types/threads_state.h"
#include "bindings/types/tls_state.h"

namespace triga {

// Of the module's contents: see module.cpp.
enum class completeness : std::uint8_t { begun, being_completed, complete };

// What one interpreter's copy of triga._core owns: its types and the Python objects it needs at hand. There
// is no C++ global that holds a Python object, so the module loads in any number of interpreters, each with
// its own GIL. Each family of types adds a member here (a struct from its own header with visit() and
// clear()).
struct module_state {
  int visit(visitproc visit_one, void* argument);
  void clear();

  loops::state loop;
  transports::state transports;
  streams::state streams;
  sockets::state sockets;
  queue_state queues;
  threads_state threads;
  futures_state futures;
  tls::state tls;
  completeness rooms = completeness::begun;
};

// The definition that PyType_GetModuleByDef() finds the module of a type by.
extern PyModuleDef core_module_definition;

inline module_state& state_of(PyObject* module) noexcept {
  return *static_cast<module_state*>(PyModule_GetState(module));
}

// For slots that get no defining class: the state of the module that made `type` or the nearest native base
// of it.
inline module_state& state_of(PyTypeObject* type) noexcept {
  return state_of(PyType_GetModuleByDef(type, &core_module_definition));
}

}  // namespace triga
