// SPDX-License-Identifier: MIT
#pragma once

#include <Python.h>

#include <memory>

#include "bindings/types/threads_state.h"
#include "runtime/exec/thread_cache.h"

namespace triga {

struct module_state;

// One Python thread: calls a callable on a leased OS thread with a thread state of its own.
//
// Owns its references until run() has dropped them, with the GIL. If the thread is unwound by pthread_exit
// (it asked for the GIL after finalization began, on 3.11 to 3.13) the job is left behind on purpose:
// dropping references needs the GIL that the thread did not get. For the same reason no frame of run() owns a
// reference.
class python_job final : public exec::thread_job {
 public:
  // Steals nothing. `handle` may be empty.
  python_job(PyObject* module, PyObject* function, PyObject* args, PyObject* kwargs,
             std::shared_ptr<exec::thread_handle> handle, bool joined_at_exit);
  // Needs the GIL, unless run() was called.
  ~python_job() { drop_references(); }
  python_job(const python_job&) = delete;
  python_job& operator=(const python_job&) = delete;
  python_job(python_job&&) = delete;
  python_job& operator=(python_job&&) = delete;

  // True on a thread that is inside run().
  [[nodiscard]] static bool runs_here() noexcept;

  void run() override;
  void parked() noexcept override;

 private:
  void call();
  void report_exception();
  void drop_references() noexcept;

  PyInterpreterState* const interpreter_;
  PyObject* module_;
  PyObject* function_;
  PyObject* args_;
  PyObject* kwargs_;
  std::shared_ptr<exec::handle_list> handles_;
  exec::handle_list::entry entry_;
};

}  // namespace triga
