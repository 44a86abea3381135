// SPDX-License-Identifier: MIT
#include "bindings/processes/worker_loop.h"

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/processes/answers.h"
#include "bindings/processes/call_decoder.h"
#include "bindings/processes/call_encoder.h"
#include "bindings/processes/plain_value.h"
#include "bindings/processes/task_meter.h"
#include "bindings/py/errors.h"
#include "bindings/py/gil.h"
#include "bindings/types/received_bytes.h"
#include "runtime/trace/counters.h"

namespace triga {
namespace {

namespace pb = pybind11;

// How many tasks in a row are taken and answered with the GIL held: letting go of it and taking it back costs
// as much as a small task, but a worker's other threads are to run too.
constexpr unsigned tasks_a_turn = 16;

class turns {
 public:
  // Whether this time others are to have the GIL.
  bool is_over() noexcept { return ++count_ % tasks_a_turn == 0; }

 private:
  unsigned count_ = 0;
};

proc::worker_link::received take_task(proc::worker_link& link, proc::message& task) {
  const py::gil_release released;  // the link is this thread's own; a message is bytes
  return link.receive(task);
}

proc::worker_link::received take_task(proc::worker_link& link, proc::message& task, turns& turn) {
  if (!turn.is_over()) {
    if (const auto got = link.try_receive(task)) return *got;
  }
  return take_task(link, task);
}

// False when there is nothing more to do.
bool next_task(proc::worker_link& link, proc::message& task, turns& turn) {
  for (auto got = take_task(link, task, turn);; got = take_task(link, task)) {
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

pb::object run(task_tag tag, const call_decoder::call& task) {
  if (tag != task_tag::call) return mapped(task.function, task.rest, tag == task_tag::starmap);
  const pb::tuple arguments(task.rest);
  PyObject* const result = PyObject_Call(task.function.ptr(), arguments.ptr(),
                                         task.keywords.is_none() ? nullptr : pb::dict(task.keywords).ptr());
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

answer run_and_catch(call_decoder& decode, proc::message& task, received_bytes& received, worker_kind kind,
                     const pb::object& wrap_error) {
  bool unpickled = false;
  try {
    const call_decoder::call call = [&] {
      const received_bytes::scope noted(received);
      return decode.decode(task);
    }();
    unpickled = true;
    return {proc::value_tag, run(task_tag(task.tag & task_tag_mask), call)};
  } catch (pb::error_already_set& error) {
    if (kind == worker_kind::executor && !unpickled) throw;
    return {proc::error_tag, wrap_error(caught(error, kind))};
  }
}

std::size_t size_of(const proc::content& what) noexcept {
  std::size_t size = what.body_size();
  for (const proc::byte_span& buffer : what.buffers) size += buffer.size();
  return size;
}

// What goes back to the parent, and the memory that answers are written in.
class answering {
 public:
  answering(proc::worker_link& link, const pb::object& make_pickler) : link_(link), encode_(make_pickler) {}

  // False when there is nobody to answer.
  bool send(std::uint64_t sequence, std::uint16_t tag, const pb::object& value,
            const std::optional<task_usage>& usage) {
    buffer_.clear();
    if (usage) {
      tag |= answer_flag::measured;
      const auto bytes = std::as_bytes(std::span<const task_usage, 1>(&*usage, 1));
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
    if (append_plain(buffer_, value.ptr())) return send_plain(sequence, tag | answer_flag::plain);
    const auto ready = encode_.encode(value);
    const proc::content given = ready.content();
    std::vector<proc::byte_span> body{buffer_};
    body.insert(body.end(), given.body.begin(), given.body.end());
    return send_content({.body = body, .buffers = given.buffers, .received = given.received}, sequence, tag);
  }

 private:
  bool send_plain(std::uint64_t sequence, std::uint16_t tag) {
    const proc::byte_span body(buffer_);
    const auto how = link_.try_send(body, sequence, tag);
    if (how == proc::worker_link::sent::done) return true;
    return send_content({.body = {&body, 1}, .buffers = {}}, sequence, tag);
  }
  bool send_content(const proc::content& what, std::uint64_t sequence, std::uint16_t tag) {
    int error = 0;
    const auto how = [&] {
      const py::gil_release released;  // the caller keeps the memory alive, and nobody else has it
      return link_.send(what, sequence, tag, error);
    }();
    if (how == proc::worker_link::sent::no_memory) {
      py::throw_os_error(error, "cannot put a result of " + std::to_string(size_of(what)) +
                                    " bytes into shared memory (the machine's, not /dev/shm)");
    }
    if (how == proc::worker_link::sent::corrupt)
      throw std::runtime_error("the pool's channel to this worker is damaged");
    return how == proc::worker_link::sent::done;
  }

  proc::worker_link& link_;
  encoders encode_;
  std::vector<std::byte> buffer_;
};

bool send_answer(answering& out, std::uint64_t sequence, const answer& given,
                 const std::optional<task_usage>& usage, worker_kind kind,
                 const pb::object& wrap_unsendable) {
  try {
    return out.send(sequence, given.tag, given.value, usage);
  } catch (pb::error_already_set& error) {
    const pb::object wrapped = wrap_unsendable(caught(error, kind), given.value);
    return out.send(sequence, proc::error_tag, wrapped, usage);
  }
}

}  // namespace

void run_worker(proc::worker_link& link, worker_kind kind, std::uint64_t most, const pb::object& make_pickler,
                const pb::object& wrap_error, const pb::object& wrap_unsendable) {
  answering out(link, make_pickler);
  call_decoder decode;
  turns turn;
  if (!out.send(0, proc::ready_tag, pb::none(), {})) return;
  for (std::uint64_t done = 0; most == 0 || done < most; ++done) {
    proc::message task;
    if (!next_task(link, task, turn)) return;
    std::optional<task_meter> meter;
    if ((task.tag & call_flag::measured) != 0) meter.emplace();
    const std::uint64_t sequence = task.sequence;
    received_bytes received;
    const answer given = run_and_catch(decode, task, received, kind, wrap_error);
    trace::count(trace::counter::process_tasks_run);
    std::optional<task_usage> usage;
    if (meter) usage = meter->read();
    const received_bytes::scope known(received);
    if (!send_answer(out, sequence, given, usage, kind, wrap_unsendable)) return;
  }
}

}  // namespace triga
