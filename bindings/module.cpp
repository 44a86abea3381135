// SPDX-License-Identifier: MIT
// triga._core: a table of contents. Each register_*() adds one family of functions or types.
#include <pybind11/pybind11.h>

#include <new>
#include <string>

#include "bindings/module_state.h"
#include "bindings/py/ref.h"
#include "bindings/register.h"

namespace triga {

int module_state::visit(visitproc visit_one, void* argument) {
  if (const int stop = loop.traverse(visit_one, argument); stop != 0) return stop;
  if (const int stop = transports.traverse(visit_one, argument); stop != 0) return stop;
  if (const int stop = streams.traverse(visit_one, argument); stop != 0) return stop;
  if (const int stop = tls.traverse(visit_one, argument); stop != 0) return stop;
  if (const int stop = sockets.traverse(visit_one, argument); stop != 0) return stop;
  if (const int stop = queues.visit(visit_one, argument); stop != 0) return stop;
  if (const int stop = threads.visit(visit_one, argument); stop != 0) return stop;
  return futures.visit(visit_one, argument);
}

void module_state::clear() {
  loop.clear();
  transports.clear();
  streams.clear();
  tls.clear();
  sockets.clear();
  queues.clear();
  threads.clear();
  futures.clear();
}

namespace {

// A sub-interpreter of 3.11 shares its thread's PyGILState with the main one, and pybind11, which relies on
// it, would wait for a GIL that its own thread holds. triga.pth does not activate triga there.
bool refuse_old_subinterpreter() {
#if PY_VERSION_HEX < 0x030C0000
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "triga runs in sub-interpreters from Python 3.12 on");
    return true;
  }
#endif
  return false;
}

// Half of the module's classes are for processes and native tasks, which a program with threads or a loop
// only never asks for. They are made when a name is asked for that is not there.
void register_the_rest(pybind11::module_& core) {
  register_process_pool(core);
  register_child_process(core);
  register_descriptor(core);
  register_zygote(core);
  register_native(core);
  register_ipc(core);
}

// Holds the interpreter's import lock, which each thread may take again, and which a fork waits for.
class import_lock {
 public:
  import_lock() : imp_(pybind11::module_::import("_imp")) { imp_.attr("acquire_lock")(); }
  import_lock(const import_lock&) = delete;
  import_lock& operator=(const import_lock&) = delete;
  import_lock(import_lock&&) = delete;
  import_lock& operator=(import_lock&&) = delete;
  ~import_lock() {
    const pybind11::error_scope before;
    if (!py::ref::steal(PyObject_CallMethod(imp_.ptr(), "release_lock", nullptr))) PyErr_Clear();
  }

 private:
  pybind11::module_ imp_;
};

void complete(PyObject* module) {
  completeness& rooms = state_of(module).rooms;
  if (rooms == completeness::complete) return;
  const import_lock alone;
  if (rooms != completeness::begun) return;  // another thread has done it, or it is this one that does
  rooms = completeness::being_completed;
  auto core = pybind11::reinterpret_borrow<pybind11::module_>(module);
  register_the_rest(core);
  rooms = completeness::complete;
}

// The module's __getattr__(): PEP 562.
pybind11::object find_later(PyObject* module, const pybind11::str& name) {
  const auto text = name.cast<std::string>();
  const bool is_special = text.starts_with("__");  // asked for by the import system, and never here
  if (!is_special) complete(module);
  PyObject* const found =
      is_special ? nullptr : PyDict_GetItemWithError(PyModule_GetDict(module), name.ptr());
  if (found != nullptr) return pybind11::reinterpret_borrow<pybind11::object>(found);
  if (PyErr_Occurred() != nullptr) throw pybind11::error_already_set();
  throw pybind11::attribute_error("module 'triga._core' has no attribute '" + text + "'");
}

pybind11::list all_names(PyObject* module) {
  complete(module);
  return pybind11::reinterpret_steal<pybind11::list>(PyDict_Keys(PyModule_GetDict(module)));
}

int core_exec(PyObject* module) {
  new (PyModule_GetState(module)) module_state;  // first: the module is freed if this fails
  if (refuse_old_subinterpreter()) return -1;
  try {
    pybind11::detail::ensure_internals();
    auto core = pybind11::reinterpret_borrow<pybind11::module_>(module);
    register_loop(core);
    register_transports(core);
    register_streams(core);
    register_tls(core);
    register_sockets(core);
    register_statistics(core);
    register_fork_memory(core);
    register_queues(core);
    register_threads(core);
    register_futures(core);
    core.def("__getattr__", [module](const pybind11::str& name) { return find_later(module, name); });
    core.def("__dir__", [module] { return all_names(module); });
    return 0;
  } catch (pybind11::error_already_set& error) {
    pybind11::raise_from(error, PyExc_ImportError, "triga._core could not be initialised");
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_ImportError, error.what());
  }
  return -1;
}

int core_traverse(PyObject* module, visitproc visit, void* argument) {
  auto* state = static_cast<module_state*>(PyModule_GetState(module));
  return state != nullptr ? state->visit(visit, argument) : 0;
}

int core_clear(PyObject* module) {
  if (auto* state = static_cast<module_state*>(PyModule_GetState(module))) state->clear();
  return 0;
}

void core_free(void* module) {
  if (auto* state = static_cast<module_state*>(PyModule_GetState(static_cast<PyObject*>(module)))) {
    state->~module_state();
  }
}

PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(core_exec)},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, nullptr},
};

}  // namespace

PyModuleDef core_module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "triga._core",
    .m_doc = "triga's C++ core under Python. Import triga, not this module.",
    .m_size = sizeof(module_state),
    .m_methods = nullptr,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

}  // namespace triga

extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {
  PYBIND11_CHECK_PYTHON_VERSION
  return PyModuleDef_Init(&triga::core_module_definition);
}
