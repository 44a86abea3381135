// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/loop/event_loop.h"

namespace triga::loop {

// A client whose callbacks are C++ functions and whose lock does not exist.
struct test_client final : loop_client {
  struct callback {
    std::function<void()> body;
  };

  void before_block(bool) override {
    if (blocking) blocking();
  }
  void after_block() override {}
  bool on_interrupt() override {
    ++interrupts;
    return true;
  }
  bool run_callback(const foreign_callback& item) override {
    last = item;
    static_cast<callback*>(item.target)->body();
    return !failed;
  }
  bool good() const override { return !failed; }
  void drop(const foreign_callback&) override { ++dropped; }
  void on_due(void*) override { ++due; }
  std::optional<time_point> replaced_clock() override { return clock; }

  std::function<void()> blocking;
  foreign_callback last;
  int interrupts = 0;
  int dropped = 0;
  int due = 0;
  bool failed = false;
  std::optional<time_point> clock;
};

struct loop_fixture : testing::Test {
  test_client client;
  event_loop loop{client};
  std::vector<int> order;
  std::vector<std::unique_ptr<test_client::callback>> callbacks;

  test_client::callback* callback(std::function<void()> body) {
    callbacks.push_back(std::make_unique<test_client::callback>(std::move(body)));
    return callbacks.back().get();
  }
  test_client::callback* note(int number) {
    return callback([this, number] { order.push_back(number); });
  }
};

struct native_task final : ready_task {
  explicit native_task(std::function<void()> what) : body(std::move(what)) {}
  void run() override { body(); }
  void end_turn() override { body(); }
  std::function<void()> body;
};

}  // namespace triga::loop
