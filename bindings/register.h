// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

// The rooms of triga._core, one function a room; each is defined in register_<room>.cpp or types/<room>.cpp.
// They throw pybind11::error_already_set or std::exception; module.cpp turns that into ImportError.
namespace triga {

void register_loop(pybind11::module_& core);
void register_transports(pybind11::module_& core);
void register_streams(pybind11::module_& core);
void register_tls(pybind11::module_& core);
void register_sockets(pybind11::module_& core);
void register_process_pool(pybind11::module_& core);
void register_statistics(pybind11::module_& core);
void register_child_process(pybind11::module_& core);
void register_descriptor(pybind11::module_& core);
void register_zygote(pybind11::module_& core);
void register_fork_memory(pybind11::module_& core);
void register_queues(pybind11::module_& core);
void register_threads(pybind11::module_& core);
void register_futures(pybind11::module_& core);
void register_native(pybind11::module_& core);
void register_ipc(pybind11::module_& core);

}  // namespace triga
