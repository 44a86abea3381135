// SPDX-License-Identifier: MIT
#include "bindings/processes/pool_binding.h"

#include <algorithm>
#include <limits>

#include "bindings/py/gil.h"

namespace triga {
namespace {

namespace pb = pybind11;
using proc::batch;
using proc::process_pool;
using proc::receiver;

time_point deadline_of(const pb::object& timeout) {
  if (timeout.is_none()) return never;
  const double seconds = timeout.cast<double>();
  if (!(seconds > 0)) return monotonic_clock::now();
  if (seconds > 1e9) return never;
  return deadline_after(nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
}

const char* name_of(process_pool::ended how) {
  switch (how) {
    case process_pool::ended::ready:
      return "ready";
    case process_pool::ended::timed_out:
      return "timed_out";
    case process_pool::ended::repairs:
      return "repairs";
    case process_pool::ended::notices:
      return "notices";
    case process_pool::ended::stopped:
      return "stopped";
    case process_pool::ended::interrupted:
      break;
  }
  return "interrupted";
}

// items[start:end] as a tuple.
pb::tuple part_of(const pb::sequence& items, std::size_t start, std::size_t end) {
  PyObject* const all = items.ptr();
  const auto made = pb::reinterpret_steal<pb::tuple>(PyTuple_New(static_cast<Py_ssize_t>(end - start)));
  if (!made) throw pb::error_already_set();
  for (std::size_t i = start; i < end; ++i) {
    // A list may have become shorter meanwhile, as pickling runs code.
    PyObject* const item = PySequence_GetItem(all, static_cast<Py_ssize_t>(i));
    if (item == nullptr) throw pb::error_already_set();
    PyTuple_SET_ITEM(made.ptr(), static_cast<Py_ssize_t>(i - start), item);
  }
  return made;
}

}  // namespace

pool_binding::pool_binding(const pb::object& make_pickler, const pb::object& make_other, bool spin,
                           std::uint64_t keep)
    : calls_(make_pickler, make_other) {
  proc::pool_options options;
  options.spin = spin;
  options.channel.keep = keep;
  core_ = std::make_unique<process_pool>(options);
}

pb::tuple pool_binding::prepare_worker(std::uint64_t quota) {
  const auto made = core_->prepare_worker(quota != 0 ? quota : std::numeric_limits<std::uint64_t>::max());
  const auto& given = made.descriptors;
  return pb::make_tuple(made.id, pb::make_tuple(given.memory, given.bell, given.leader, given.collector));
}

void pool_binding::submit(const std::shared_ptr<receiver>& to, std::uint64_t index, proc::task_terms terms,
                          const pb::tuple& call) {
  const bool with_keywords = call.size() > 2;
  PyObject* const keywords = with_keywords ? PyTuple_GET_ITEM(call.ptr(), 2) : nullptr;
  const auto ready = calls_.encode(PyTuple_GET_ITEM(call.ptr(), 0), PyTuple_GET_ITEM(call.ptr(), 1), keywords,
                                   with_keywords);
  hand_over(ready, to, index, terms);
}

pb::tuple pool_binding::submit_chunks(const std::shared_ptr<receiver>& to, std::uint64_t index,
                                      const proc::task_terms& terms, const pb::object& function,
                                      const pb::sequence& items, const proc::chunk_plan& plan,
                                      std::size_t start, std::size_t most, const pb::object& failed) {
  const std::size_t size = items.size();
  for (std::size_t end = start; start < size && core_->backlog_bytes() < most; start = end, ++index) {
    end = start + plan.next(size - start);
    try {
      const pb::tuple part = part_of(items, start, end);
      hand_over(calls_.encode(function.ptr(), part.ptr(), nullptr, false), to, index, terms);
    } catch (pb::error_already_set& error) {
      if (!error.matches(PyExc_Exception)) throw;
      failed(index, error.value());
    }
  }
  return pb::make_tuple(start, index);
}

void pool_binding::hand_over(const call_encoder::encoded& ready, const std::shared_ptr<receiver>& to,
                             std::uint64_t index, proc::task_terms terms) {
  terms.tag |= ready.flags;
  if (ready.size < py::gil_free_copy_from) {
    core_->submit(ready.content, to, index, terms);
    return;
  }
  // Safe: `ready` keeps every piece of memory alive and unchanged, or at least exported. Its first piece may
  // be the encoder's own buffer, which others use as soon as they have the GIL, so that is copied.
  std::vector<std::byte> first(ready.content.body[0].begin(), ready.content.body[0].end());
  std::vector<proc::byte_span> body(ready.content.body.begin(), ready.content.body.end());
  if ((ready.flags & call_flag::named_function) != 0) body[0] = first;
  const py::gil_release released;
  core_->submit({.body = body, .buffers = ready.content.buffers}, to, index, terms);
}

const char* pool_binding::wait(const process_pool::condition& ready, const pb::object& timeout,
                               bool may_repair) {
  const time_point deadline = deadline_of(timeout);
  for (;;) {
    const auto how = [&] {
      // Safe: the core and the receivers are C++ objects that the caller keeps alive, and know no Python.
      const py::gil_release released;
      return core_->wait(ready, deadline, may_repair);
    }();
    if (how != process_pool::ended::interrupted) return name_of(how);
    if (PyErr_CheckSignals() != 0) throw pb::error_already_set();
  }
}

const char* pool_binding::serve() {
  for (;;) {
    const auto how = [&] {
      const py::gil_release released;  // as in wait()
      return core_->serve();
    }();
    if (how != process_pool::ended::interrupted) return name_of(how);
  }
}

pb::object pool_binding::take(batch& from, std::uint64_t index) const {
  auto end = from.take(index);
  if (!end) return pb::none();
  const pb::object usage = end->what == proc::outcome::kind::answered ? usage_of(end->answer) : pb::none();
  const told what = tell(*end, values_);
  return pb::make_tuple(what.word, what.value, usage);
}

pb::list pool_binding::take_lists(batch& from) const {
  pb::list all;
  const std::uint64_t count = from.expected();
  for (std::uint64_t index = 0; index < count; ++index) {
    auto end = from.take(index);
    if (!end || !end->succeeded()) throw std::logic_error("take_lists() of a batch that is not a success");
    const pb::object part = value_of(end->answer, values_);
    if (PyList_SetSlice(all.ptr(), PyList_GET_SIZE(all.ptr()), PyList_GET_SIZE(all.ptr()), part.ptr()) != 0)
      throw pb::error_already_set();
  }
  return all;
}

}  // namespace triga
