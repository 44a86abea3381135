// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "runtime/proc/batch.h"
#include "runtime/proc/parent_watch.h"
#include "runtime/proc/process_pool.h"
#include "runtime/proc/worker_link.h"

// A process pool whose workers are forks of the test.
namespace pool_testing {

using namespace triga;
using namespace triga::proc;

inline byte_span bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string text_of(byte_span bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What a worker of these tests understands: "echo X" answers X, "kill" dies by SIGKILL, "exit" exits with 3,
// "hold X" waits until the file descriptor X (a pipe's read end, inherited) is readable, "buffers" answers
// what came out of band, "back" passes it back as it is, "again X" dies unless the file X is there, which it
// makes.
inline void work(worker_link& link) {
  int error = 0;
  link.send({}, 0, ready_tag, error);
  for (;;) {
    message task;
    const auto got = link.receive(task);
    if (got == worker_link::received::interrupted) continue;
    if (got != worker_link::received::task) return;
    std::string said = text_of(task.body().value_or_throw("body"));
    if (said == "kill") ::kill(::getpid(), SIGKILL);
    if (said == "exit") ::_exit(3);
    if (said.starts_with("hold ")) {
      char byte = 0;
      [[maybe_unused]] const ssize_t ignored = ::read(std::stoi(said.substr(5)), &byte, 1);
    }
    if (said.starts_with("again ")) {
      const int made = ::open(said.substr(6).c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      if (made >= 0) ::_exit(5);
    }
    std::vector<std::byte> buffer;
    std::vector<byte_span> buffers;
    if (said == "buffers" && !task.buffers.empty()) {
      buffer.resize(task.buffers[0].size());
      if (task.buffers[0].read(buffer) != 0) ::_exit(4);
      buffers.emplace_back(buffer);
    }
    std::vector<shm::block*> received;
    if (said == "back") {
      for (shm::block& each : task.buffers) {
        // What is passed on is not read.
        buffers.emplace_back(static_cast<const std::byte*>(nullptr), each.size());
        received.push_back(&each);
      }
    }
    const byte_span body = bytes_of(said);
    const content answer{.body = {&body, 1}, .buffers = buffers, .received = received};
    if (link.send(answer, task.sequence, value_tag, error) != worker_link::sent::done) return;
  }
}

class PoolOfForks : public ::testing::Test {
 protected:
  void start_worker(std::uint64_t quota = 1 << 20) {
    const auto made = pool_.prepare_worker(quota);
    const int parent = open_process(::getpid()).value_or_throw("pidfd_open").release();
    const pid_t pid = ::fork();
    if (pid == 0) {
      link_descriptors mine{.memory = ::dup(made.descriptors.memory),
                            .bell = ::dup(made.descriptors.bell),
                            .leader = ::dup(made.descriptors.leader),
                            .collector = ::dup(made.descriptors.collector),
                            .parent = parent};
      worker_link link(mine);
      die_with(link.parent());
      work(link);
      ::_exit(0);
    }
    ::close(parent);
    pids_.push_back(pid);
    pool_.worker_started(made.id, pid);
  }

  void TearDown() override {
    for (const pid_t pid : pids_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }

  void submit(const std::shared_ptr<receiver>& to, std::uint64_t index, const std::string& text,
              const task_terms& terms = {.tag = 1}) {
    const byte_span body = bytes_of(text);
    pool_.submit({.body = {&body, 1}, .buffers = {}}, to, index, terms);
  }

  // Waits as a pool's user does, replacing workers; counts the replacements.
  template <class Ready>
  void wait(Ready ready) {
    for (;;) {
      const auto how = pool_.wait(ready, never, true);
      if (how == process_pool::ended::ready) return;
      if (how != process_pool::ended::repairs) continue;
      for ([[maybe_unused]] const departure& each : pool_.take_departed()) {
        ++replaced_;
        start_worker();
      }
    }
  }
  void wait_complete(const std::shared_ptr<batch>& what) {
    wait([&what] { return what->complete(); });
  }

  // How a task ended whose one buffer was PAYLOAD.
  auto answer_with_buffer(const std::string& text, const std::string& payload) {
    const auto all = make_batch(1);
    const byte_span body = bytes_of(text);
    const byte_span buffer = bytes_of(payload);
    pool_.submit({.body = {&body, 1}, .buffers = {&buffer, 1}}, all, 0, {.tag = 1});
    wait_complete(all);
    return all->take(0);
  }

  static std::string answer(batch& from, std::uint64_t index) {
    auto end = from.take(index);
    if (!end) return "nothing";
    if (end->what == outcome::kind::lost)
      return describe(end->worker).substr(describe(end->worker).find("was"));
    if (end->what != outcome::kind::answered) return "not answered";
    return text_of(end->answer.body().value_or_throw("body"));
  }
  static std::shared_ptr<batch> make_batch(std::uint64_t count) {
    return std::make_shared<batch>(count, batch::order::one_by_one, 0);
  }

  process_pool pool_{
      {.channel = {.ring_capacity = 1 << 14, .keep = 1 << 20}, .depth = 32, .spin = false, .look_out = {}}};
  std::vector<pid_t> pids_;
  int replaced_ = 0;
};

}  // namespace pool_testing
