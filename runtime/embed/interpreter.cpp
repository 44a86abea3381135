// SPDX-License-Identifier: MIT
#include "runtime/embed/interpreter.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "runtime/base/scope_exit.h"
#include "runtime/embed/attachment.h"
#include "runtime/embed/convert.h"
#include "runtime/embed/executor.h"

namespace triga::embed {
namespace {

void check(const PyStatus& status) {
  if (PyStatus_Exception(status) != 0) {
    const std::string where = status.func != nullptr ? std::string(status.func) + ": " : "";
    throw std::runtime_error("the Python interpreter did not start: " + where +
                             (status.err_msg != nullptr ? status.err_msg : "it wanted to exit"));
  }
}

void start(const interpreter::options& chosen) {
  for (const auto& module : chosen.built_ins) {
    if (PyImport_AppendInittab(module.name, module.init) != 0) throw std::bad_alloc();
  }
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  const scope_exit clear([&] { PyConfig_Clear(&config); });
  config.parse_argv = 0;
  config.install_signal_handlers = chosen.signal_handlers ? 1 : 0;
  if (!chosen.executable.empty()) {
    check(PyConfig_SetBytesString(&config, &config.program_name, chosen.executable.c_str()));
    check(PyConfig_SetBytesString(&config, &config.executable, chosen.executable.c_str()));
  }
  check(Py_InitializeFromConfig(&config));
}

outcome<none> put_in_front_of_path(const std::vector<std::filesystem::path>& folders) {
  PyObject* const path = PySys_GetObject("path");  // borrowed
  for (auto each = folders.rbegin(); path != nullptr && each != folders.rend(); ++each) {
    const object text = object::owning(PyUnicode_DecodeFSDefault(std::filesystem::absolute(*each).c_str()));
    if (!text || PyList_Insert(path, 0, text.get()) != 0) return take_failure();
  }
  return none{};
}

// Up to some release of 3.11 Python does not look for a package's modules among the built-in ones.
outcome<none> find_built_in_submodules() {
#if PY_VERSION_HEX < 0x030C0000
  static constexpr const char* finder = R"(
import sys
from importlib.machinery import BuiltinImporter, ModuleSpec

class BuiltInSubmodules:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is None or name not in sys.builtin_module_names:
            return None
        return ModuleSpec(name, BuiltinImporter, origin="built-in")

sys.meta_path.insert(0, BuiltInSubmodules)
)";
  const object names = object::owning(PyDict_New());
  const object done =
      object::owning(names ? PyRun_String(finder, Py_file_input, names.get(), names.get()) : nullptr);
  if (!done) return take_failure();
#endif
  return none{};
}

outcome<none> install_triga() {
  const object package = object::owning(PyImport_ImportModule("triga"));
  const object done =
      object::owning(package ? PyObject_CallMethod(package.get(), "install", nullptr) : nullptr);
  if (!done) return take_failure();
  return none{};
}

// The dictionary of __main__, borrowed; nullptr with an exception set.
PyObject* main_dictionary() {
  PyObject* const module = PyImport_AddModule("__main__");
  return module != nullptr ? PyModule_GetDict(module) : nullptr;
}

// What Python does with SystemExit at the end of a program, without ending it: the exit status.
int exit_status(PyObject* code) {
  if (code == Py_None) return 0;
  if (PyLong_Check(code)) return static_cast<int>(PyLong_AsLong(code));
  PySys_FormatStderr("%S\n", code);
  return 1;
}

// The status of a program that ended: 0, or what SystemExit said.
outcome<int> ended(const object& result) {
  if (result) return 0;
  if (PyErr_ExceptionMatches(PyExc_SystemExit) == 0) return take_failure();
#if PY_VERSION_HEX >= 0x030C0000
  const object exception = object::owning(PyErr_GetRaisedException());
#else
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  const object exception = object::owning(value);
#endif
  const object code = object::owning(PyObject_GetAttrString(exception.get(), "code"));
  return code ? outcome<int>(exit_status(code.get())) : outcome<int>(take_failure());
}

// sys.argv and sys.path[0] as `python script arguments...` sets them.
bool set_arguments(const std::filesystem::path& script, const std::vector<std::string>& arguments) {
  std::vector<std::string> words{script.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const object argv = converter<std::vector<std::string>>::to_python(words);
  if (!argv || PySys_SetObject("argv", argv.get()) != 0) return false;
  return put_in_front_of_path({std::filesystem::absolute(script).parent_path()}).has_value();
}

// The compiled script, read as source files are read: in the encoding that it declares.
object compiled(const std::filesystem::path& script) {
  const object io = object::owning(PyImport_ImportModule("io"));
  const object file =
      object::owning(io ? PyObject_CallMethod(io.get(), "open_code", "s", script.c_str()) : nullptr);
  const object source = object::owning(file ? PyObject_CallMethod(file.get(), "read", nullptr) : nullptr);
  if (file) {
    // read() may have failed: its exception must survive close().
    if (!source) return {};
    if (!object::owning(PyObject_CallMethod(file.get(), "close", nullptr))) return {};
  }
  const object built_in = object::owning(source ? PyImport_ImportModule("builtins") : nullptr);
  if (!built_in) return {};
  return object::owning(
      PyObject_CallMethod(built_in.get(), "compile", "Oss", source.get(), script.c_str(), "exec"));
}

}  // namespace

interpreter::interpreter(const options& chosen) {
  if (Py_IsInitialized() != 0) throw std::runtime_error("a Python interpreter runs in this process already");
  start(chosen);
  state_ = PyInterpreterState_Get();
  auto ready = put_in_front_of_path(chosen.packages);
  if (ready && !chosen.built_ins.empty()) ready = find_built_in_submodules();
  if (ready && chosen.install_triga) ready = install_triga();
  if (!ready) {
    Py_FinalizeEx();
    throw python_error(ready.error());
  }
  main_thread_ = PyEval_SaveThread();
}

interpreter::~interpreter() {
  shut_executors_down();
  PyEval_RestoreThread(main_thread_);
  if (Py_FinalizeEx() < 0) std::fputs("triga: Python could not flush its streams at the end\n", stderr);
}

outcome<object> interpreter::find(const std::string& module, const std::string& name) {
  const attached gil;
  object found = object::owning(PyImport_ImportModule(module.c_str()));
  for (std::size_t from = 0; found && from < name.size();) {
    const std::size_t dot = std::min(name.find('.', from), name.size());
    found = object::owning(PyObject_GetAttrString(found.get(), name.substr(from, dot - from).c_str()));
    from = dot + 1;
  }
  if (!found) return take_failure();
  return found;
}

outcome<int> interpreter::run_script(const std::filesystem::path& script,
                                     const std::vector<std::string>& arguments) {
  const attached gil;
  if (!set_arguments(script, arguments)) return take_failure();
  const object code = compiled(script);
  PyObject* const dictionary = main_dictionary();
  const object file = object::owning(PyUnicode_DecodeFSDefault(script.c_str()));
  if (!code || dictionary == nullptr || !file) return take_failure();
  if (PyDict_SetItemString(dictionary, "__file__", file.get()) != 0) return take_failure();
  return ended(object::owning(PyEval_EvalCode(code.get(), dictionary, dictionary)));
}

outcome<none> interpreter::run(const std::string& statements) {
  const attached gil;
  PyObject* const dictionary = main_dictionary();
  if (dictionary == nullptr) return take_failure();
  const object result =
      object::owning(PyRun_StringFlags(statements.c_str(), Py_file_input, dictionary, dictionary, nullptr));
  if (!result) return take_failure();
  return none{};
}

outcome<unsigned long long> interpreter::counter(const std::string& name) {
  auto stats = find("triga", "stats");
  if (!stats) return stats.error();
  const attached gil;
  const auto counters = call<object>(*stats);
  if (!counters) return counters.error();
  const object value = object::owning(PyMapping_GetItemString(counters->get(), name.c_str()));
  if (!value) return take_failure();
  return converter<unsigned long long>::from_python(value.get());
}

void interpreter::enlist(executor& each) {
  const std::lock_guard lock(mutex_);
  executors_.push_back(&each);
}

void interpreter::strike(executor& each) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(executors_, &each);
}

void interpreter::shut_executors_down() noexcept {
  // A copy: shutting down takes as long as the tasks do, and must not hold the lock for it.
  std::vector<executor*> every;
  {
    const std::lock_guard lock(mutex_);
    every.swap(executors_);
  }
  for (executor* const each : every) each->shut_down(executor::queued_tasks::run);
}

}  // namespace triga::embed
