// SPDX-License-Identifier: MIT
#include "bindings/processes/worker_loop.h"

#include <cerrno>
#include <stdexcept>

#include "bindings/py/gil.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

namespace pb = pybind11;

// False when there is nothing more to do.
bool next_task(proc::worker_link& link, proc::message& task) {
  for (;;) {
    const auto got = [&] {
      const py::gil_release released;  // the link is this thread's own; a message is bytes
      return link.receive(task);
    }();
    switch (got) {
      case proc::worker_link::received::task:
        return true;
      case proc::worker_link::received::interrupted:
        if (PyErr_CheckSignals() != 0) throw pb::error_already_set();
        break;
      case proc::worker_link::received::corrupt:
        throw std::runtime_error("the pool's channel to this worker is damaged");
      case proc::worker_link::received::finished:
      case proc::worker_link::received::parent_died:
        return false;
    }
  }
}

pb::object mapped(const pb::handle& function, const pb::handle& items, bool unpack) {
  pb::list results;
  for (const pb::handle item : items) {
    PyObject* const result =
        unpack
            ? PyObject_CallObject(function.ptr(), pb::tuple(pb::reinterpret_borrow<pb::object>(item)).ptr())
            : PyObject_CallOneArg(function.ptr(), item.ptr());
    if (result == nullptr) throw pb::error_already_set();
    results.append(pb::reinterpret_steal<pb::object>(result));
  }
  return results;
}

pb::object run(task_tag tag, const pb::tuple& task) {
  if (tag != task_tag::call) return mapped(task[0], task[1], tag == task_tag::starmap);
  const pb::tuple arguments(task[1]);
  const pb::object keywords = task[2];
  PyObject* const result = PyObject_Call(pb::object(task[0]).ptr(), arguments.ptr(),
                                         keywords.is_none() ? nullptr : pb::dict(keywords).ptr());
  if (result == nullptr) throw pb::error_already_set();
  return pb::reinterpret_steal<pb::object>(result);
}

struct answer {
  std::uint16_t tag;
  pb::object value;
};

// Takes the exception that is set if it does not end a worker of this kind; throws it on if it does.
pb::object caught(pb::error_already_set& error, worker_kind kind) {
  if (kind == worker_kind::pool && !error.matches(PyExc_Exception)) throw std::move(error);
  pb::object value = error.value();
  if (error.trace()) PyException_SetTraceback(value.ptr(), error.trace().ptr());
  return value;
}

answer run_and_catch(const decoder& decode, proc::message& task, worker_kind kind,
                     const pb::object& wrap_error) {
  bool unpickled = false;
  try {
    pb::object call = decode.decode(task);
    unpickled = true;
    return {proc::value_tag, run(task_tag{task.tag}, std::move(call))};
  } catch (pb::error_already_set& error) {
    if (kind == worker_kind::executor && !unpickled) throw;
    return {proc::error_tag, wrap_error(caught(error, kind))};
  }
}

// False when the parent is gone.
bool send(proc::worker_link& link, const encoders::encoded& ready, std::uint64_t sequence,
          std::uint16_t tag) {
  int error = 0;
  const proc::content what = ready.content();
  const auto how = [&] {
    const py::gil_release released;  // `ready` keeps the memory alive, and nobody else has it
    return link.send(what, sequence, tag, error);
  }();
  if (how == proc::worker_link::sent::no_memory) {
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    throw pb::error_already_set();
  }
  if (how == proc::worker_link::sent::corrupt)
    throw std::runtime_error("the pool's channel to this worker is damaged");
  return how == proc::worker_link::sent::done;
}

bool send_answer(proc::worker_link& link, encoders& encode, std::uint64_t sequence, const answer& given,
                 worker_kind kind, const pb::object& wrap_unsendable) {
  try {
    return send(link, encode.encode(given.value), sequence, given.tag);
  } catch (pb::error_already_set& error) {
    const pb::object wrapped = wrap_unsendable(caught(error, kind), given.value);
    return send(link, encode.encode(wrapped), sequence, proc::error_tag);
  }
}

}  // namespace

void run_worker(proc::worker_link& link, worker_kind kind, std::uint64_t most, const pb::object& make_pickler,
                const pb::object& wrap_error, const pb::object& wrap_unsendable) {
  encoders encode(make_pickler);
  const decoder decode;
  if (!send(link, encode.encode(pb::none()), 0, proc::ready_tag)) return;
  for (std::uint64_t done = 0; most == 0 || done < most; ++done) {
    proc::message task;
    if (!next_task(link, task)) return;
    const std::uint64_t sequence = task.sequence;
    const answer given = run_and_catch(decode, task, kind, wrap_error);
    trace::count(trace::counter::process_tasks_run);
    if (!send_answer(link, encode, sequence, given, kind, wrap_unsendable)) return;
  }
}

}  // namespace triga
