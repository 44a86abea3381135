// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/embed/object.h"
#include "runtime/embed/outcome.h"

namespace triga::embed {

class executor;

// The problem: a C++ program that wants Python inside has to start the interpreter with its own idea of paths
// and signals, to let go of the GIL wherever it does not need it, and at the end to be sure that no thread of
// its own is still about to ask for the GIL: on 3.11 to 3.13 such a thread is unwound in the middle of its
// C++ frames, later it hangs for ever.
//
// So this owns the interpreter, one at a time in a process. Between the constructor and the destructor no
// thread holds the GIL unless it asked for it (embed::attached); the executors that were made for it are shut
// down, their workers detached and joined, before it is finalized.
class interpreter {
 public:
  // A module that is linked into the program: its full name and its PyInit function.
  struct built_in {
    const char* name;
    PyObject* (*init)();
  };

  struct options {
    // Folders put in front of sys.path: where the triga package is, and the program's own modules.
    std::vector<std::filesystem::path> packages;
    // Linked in, such as {"triga._core", PyInit__core}: then Python and C++ share one copy of the runtime.
    std::vector<built_in> built_ins;
    // What sys.executable says and virtual environments are found from; the start method spawn runs it.
    // Empty: what the interpreter finds.
    std::filesystem::path executable;
    // True: import triga and install it, so that Python code runs on the native backend.
    bool install_triga = true;
    // True: Ctrl-C raises KeyboardInterrupt in Python's main thread, as under python.
    bool signal_handlers = false;
  };

  // Starts the interpreter; the calling thread becomes Python's main thread. Throws std::runtime_error if one
  // runs already or it cannot start, python_error if triga cannot be installed.
  explicit interpreter(const options& chosen);
  interpreter(const interpreter&) = delete;
  interpreter& operator=(const interpreter&) = delete;
  interpreter(interpreter&&) = delete;
  interpreter& operator=(interpreter&&) = delete;
  // On the thread that made it: shuts the executors down (what is queued still runs), waits for Python's
  // non-daemon threads, runs atexit functions, finalizes.
  ~interpreter();

  // Imports `module` and gives its attribute `name`, which may be dotted; the module itself if `name` is
  // empty.
  [[nodiscard]] outcome<object> find(const std::string& module, const std::string& name = "");

  // Runs a program as __main__, as `python script arguments...` does. The value is its exit status, which
  // SystemExit sets; any other exception is a failure. The interpreter goes on.
  [[nodiscard]] outcome<int> run_script(const std::filesystem::path& script,
                                        const std::vector<std::string>& arguments = {});

  // Runs statements in __main__.
  [[nodiscard]] outcome<none> run(const std::string& statements);

  // triga.stats()[counter] of this process; a failure if triga is not there.
  [[nodiscard]] outcome<unsigned long long> counter(const std::string& name);

  [[nodiscard]] PyInterpreterState* state() const noexcept { return state_; }

 private:
  friend class executor;
  void enlist(executor& each);
  void strike(executor& each) noexcept;
  void shut_executors_down() noexcept;

  std::mutex mutex_;  // guards executors_
  std::vector<executor*> executors_;
  PyInterpreterState* state_ = nullptr;
  PyThreadState* main_thread_ = nullptr;  // detached between construction and destruction
};

}  // namespace triga::embed
