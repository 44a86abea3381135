// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include "runtime/embed/attachment.h"
#include "runtime/embed/executor.h"
#include "runtime/embed/interpreter.h"

extern "C" PyObject* PyInit__core();

namespace triga::embed {
namespace {

interpreter::options with_triga() {
  return {.packages = {TRIGA_PACKAGE}, .built_ins = {{"triga._core", PyInit__core}}};
}

void write(const std::filesystem::path& file, const std::string& content) { std::ofstream(file) << content; }

object function(interpreter& python, const std::string& name, const std::string& source) {
  python.run(source).value();
  return python.find("__main__", name).value();
}

TEST(EmbedInterpreter, RunsPythonOnTheNativeBackend) {
  interpreter python(with_triga());
  const auto parts = python.find("triga", "installed_parts").value();
  const attached gil;
  const auto installed = call<object>(parts).value();
  EXPECT_EQ(PyObject_Size(installed.get()), 3);
}

TEST(EmbedInterpreter, HoldsNoGilBetweenCalls) {
  interpreter python(with_triga());
  EXPECT_EQ(PyGILState_Check(), 0);
  const auto name = python.find("sys", "implementation.name").value();
  EXPECT_EQ(PyGILState_Check(), 0);
  const attached gil;
  EXPECT_EQ(*converter<std::string>::from_python(name.get()), "cpython");
}

TEST(EmbedInterpreter, RefusesASecondOne) {
  interpreter python(with_triga());
  EXPECT_THROW(interpreter second(with_triga()), std::runtime_error);
}

TEST(EmbedInterpreter, SaysWhyTrigaCouldNotBeInstalled) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "embed_broken_triga";
  std::filesystem::create_directories(folder);
  write(folder / "triga.py", "raise ImportError('broken')\n");
  try {
    const interpreter python({.packages = {folder}});
    ADD_FAILURE() << "a broken triga was installed";
  } catch (const python_error& error) {
    EXPECT_EQ(error.why().type, "ImportError");
    EXPECT_EQ(error.why().message, "broken");
  }
  std::filesystem::remove_all(folder);
  EXPECT_EQ(Py_IsInitialized(), 0);
}

TEST(EmbedInterpreter, RunsAScriptAsMain) {
  interpreter python(with_triga());
  EXPECT_EQ(python.run_script(TRIGA_SAMPLES "/article/thread_pool.py").value(), 0);
  const auto file = python.find("__main__", "__file__").value();
  const attached gil;
  EXPECT_EQ(*converter<std::string>::from_python(file.get()), TRIGA_SAMPLES "/article/thread_pool.py");
}

TEST(EmbedInterpreter, MissingScriptIsAFailure) {
  interpreter python(with_triga());
  const auto status = python.run_script("/nowhere/script.py");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().type, "FileNotFoundError");
}

TEST(EmbedInterpreter, FindsNothingAsAFailure) {
  interpreter python(with_triga());
  EXPECT_EQ(python.find("no_such_module").error().type, "ModuleNotFoundError");
  EXPECT_EQ(python.find("os", "path.no_such_name").error().type, "AttributeError");
}

TEST(EmbedExecutor, GivesResultsAsCppValues) {
  interpreter python(with_triga());
  executor pool(python, 2);
  const auto echo = function(python, "echo", "def echo(value): return value");
  EXPECT_EQ(pool.submit<long>(echo, -7L).get().value(), -7);
  EXPECT_EQ(pool.submit<bool>(echo, true).get().value(), true);
  EXPECT_EQ(pool.submit<double>(echo, 0.5).get().value(), 0.5);
  EXPECT_EQ(pool.submit<std::string>(echo, "文字").get().value(), "文字");
  EXPECT_EQ(pool.submit<none>(echo, none{}).get().value(), none{});
  const std::vector<std::byte> bytes{std::byte{0}, std::byte{255}};
  EXPECT_EQ(pool.submit<std::vector<std::byte>>(echo, bytes).get().value(), bytes);
  const std::vector<std::string> words{"a", "", "b"};
  EXPECT_EQ(pool.submit<std::vector<std::string>>(echo, words).get().value(), words);
}

TEST(EmbedExecutor, GivesTheExceptionAsCppValues) {
  interpreter python(with_triga());
  executor pool(python, 2);
  const auto raising = function(python, "raising", R"(
def raising(text):
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError(text) from error
)");
  const auto answer = pool.submit<none>(raising, "no good").get();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().type, "ValueError");
  EXPECT_EQ(answer.error().message, "no good");
  EXPECT_NE(answer.error().traceback.find("KeyError: 'key'"), std::string::npos);
  EXPECT_NE(answer.error().traceback.find("in raising"), std::string::npos);
}

TEST(EmbedExecutor, NamesTheModuleOfAnException) {
  interpreter python(with_triga());
  executor pool(python, 1);
  const auto answer = pool.submit<none>(python.find("json", "loads").value(), "{").get();
  EXPECT_EQ(answer.error().type, "json.decoder.JSONDecodeError");
}

TEST(EmbedExecutor, SurvivesAnExceptionWithoutText) {
  interpreter python(with_triga());
  executor pool(python, 1);
  const auto raising = function(python, "raising", R"(
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("nothing to say")
def raising():
    raise Mute
)");
  const auto answer = pool.submit<none>(raising).get();
  EXPECT_EQ(answer.error().type, "__main__.Mute");
  EXPECT_FALSE(answer.error().message.empty());
}

TEST(EmbedExecutor, ResultOfAnotherTypeIsAFailure) {
  interpreter python(with_triga());
  executor pool(python, 1);
  const auto text = function(python, "text", "def text(): return 'text'");
  EXPECT_EQ(pool.submit<long>(text).get().error().type, "TypeError");
  EXPECT_EQ(pool.submit<bool>(text).get().error().type, "TypeError");
  EXPECT_EQ(pool.submit<none>(text).get().error().type, "TypeError");
  const auto large = function(python, "large", "def large(): return 300");
  EXPECT_EQ(pool.submit<std::uint8_t>(large).get().error().type, "OverflowError");
  EXPECT_EQ(pool.submit<int>(large).get().value(), 300);
}

TEST(EmbedExecutor, SystemExitIsAFailureOfItsTask) {
  interpreter python(with_triga());
  executor pool(python, 1);
  const auto answer = pool.submit<none>(python.find("sys", "exit").value(), 3).get();
  EXPECT_EQ(answer.error().type, "SystemExit");
  EXPECT_EQ(answer.error().message, "3");
  EXPECT_EQ(pool.submit<long>(python.find("builtins", "abs").value(), -1).get().value(), 1);
}

TEST(EmbedInterpreter, SystemExitIsTheStatusOfAScript) {
  interpreter python(with_triga());
  const auto script = std::filesystem::path(testing::TempDir()) / "exits_with_three.py";
  write(script, "import sys\nassert sys.argv[1:] == ['word']\nsys.exit(3)\n");
  EXPECT_EQ(python.run_script(script, {"word"}).value(), 3);
  EXPECT_EQ(python.run_script(script, {}).error().type, "AssertionError");
  std::filesystem::remove(script);
}

TEST(EmbedExecutor, TakesSubmitsFromManyThreads) {
  interpreter python(with_triga());
  executor pool(python, 4);
  const auto square = function(python, "square", "def square(number): return number * number");
  constexpr long submitters = 4, each = 2'000;
  std::atomic<long> sum{0};
  {
    std::vector<std::jthread> threads;
    for (long at = 0; at < submitters; ++at) {
      threads.emplace_back([&] {
        std::vector<std::future<outcome<long>>> answers;
        for (long number = 0; number < each; ++number) answers.push_back(pool.submit<long>(square, number));
        for (auto& answer : answers) sum += answer.get().value();
      });
    }
  }
  EXPECT_EQ(sum.load(), submitters * (each - 1) * each * (2 * each - 1) / 6);
  EXPECT_GE(python.counter("tasks_run").value(), static_cast<unsigned long long>(submitters * each));
}

// Between tasks of C no bytecode runs that would hear another thread ask for the GIL.
TEST(EmbedExecutor, LeavesOthersTheirTurnsWhileItIsNeverIdle) {
  interpreter python(with_triga());
  const auto length = python.find("builtins", "len").value();
  executor pool(python, 1);
  std::atomic<bool> had_its_turns{false};
  std::jthread other([&] {
    for (int turn = 0; turn < 20; ++turn) const attached gil;
    had_its_turns = true;
  });
  std::deque<std::future<outcome<long>>> answers;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!had_its_turns && std::chrono::steady_clock::now() < give_up) {
    while (answers.size() < 10'000) answers.push_back(pool.submit<long>(length, std::string("four")));
    EXPECT_EQ(answers.front().get().value(), 4);
    answers.pop_front();
  }
  EXPECT_TRUE(had_its_turns);
}

TEST(EmbedExecutor, WorkersKeepTheirThreadLocals) {
  interpreter python(with_triga());
  executor pool(python, 1);
  const auto count = function(python, "count", R"(
import threading
local = threading.local()
def count():
    local.calls = getattr(local, "calls", 0) + 1
    return local.calls
)");
  for (long turn = 1; turn <= 3; ++turn) EXPECT_EQ(pool.submit<long>(count).get().value(), turn);
}

// One worker is held in a task until the test lets it go, so that what is submitted after it stays queued.
struct held_worker {
  held_worker(interpreter& python, executor& pool) {
    const auto wait = function(python, "wait", R"(
import threading
started, release = threading.Event(), threading.Event()
def wait():
    started.set()
    release.wait()
)");
    answer = pool.submit<none>(wait);
    const auto started = python.find("__main__", "started.wait").value();
    const attached gil;
    call<bool>(started).value();
  }

  static void release(interpreter& python) {
    const auto set = python.find("__main__", "release.set").value();
    const attached gil;
    call<none>(set).value();
  }

  std::future<outcome<none>> answer;
};

TEST(EmbedExecutor, ShutdownRunsWhatIsQueued) {
  interpreter python(with_triga());
  executor pool(python, 1);
  held_worker held(python, pool);
  auto queued = pool.submit<long>(python.find("builtins", "abs").value(), -5);
  std::jthread ending([&] { pool.shut_down(executor::queued_tasks::run); });
  held_worker::release(python);
  ending.join();
  EXPECT_TRUE(held.answer.get());
  EXPECT_EQ(queued.get().value(), 5);
}

TEST(EmbedExecutor, ShutdownCanDropWhatIsQueued) {
  interpreter python(with_triga());
  executor pool(python, 1);
  held_worker held(python, pool);
  auto queued = pool.submit<long>(python.find("builtins", "abs").value(), -5);
  std::jthread ending([&] { pool.shut_down(executor::queued_tasks::drop); });
  EXPECT_EQ(queued.get().error().type, "CancelledError");  // before the worker is free: it was not run
  held_worker::release(python);
  ending.join();
  EXPECT_TRUE(held.answer.get());
}

TEST(EmbedExecutor, RefusesAfterShutdown) {
  interpreter python(with_triga());
  executor pool(python, 1);
  pool.shut_down(executor::queued_tasks::run);
  pool.shut_down(executor::queued_tasks::drop);
  EXPECT_EQ(pool.submit<long>(python.find("builtins", "abs").value(), -5).get().error().type,
            "CancelledError");
}

TEST(EmbedExecutor, ShutdownMayHoldTheGil) {
  interpreter python(with_triga());
  executor pool(python, 2);
  const auto absolute = python.find("builtins", "abs").value();
  std::vector<std::future<outcome<long>>> answers;
  for (long at = 0; at < 100; ++at) answers.push_back(pool.submit<long>(absolute, -at));
  {
    const attached gil;
    pool.shut_down(executor::queued_tasks::run);
  }
  for (long at = 0; at < 100; ++at) EXPECT_EQ(answers[static_cast<std::size_t>(at)].get().value(), at);
}

TEST(EmbedInterpreter, EndsTheExecutorsThatAreLeft) {
  std::future<outcome<long>> queued;
  {
    auto python = std::make_unique<interpreter>(with_triga());
    executor pool(*python, 1);
    const auto absolute = python->find("builtins", "abs").value();
    for (long at = 0; at < 100; ++at) queued = pool.submit<long>(absolute, -at);
    python.reset();
    EXPECT_EQ(queued.get().value(), 99);
    EXPECT_EQ(Py_IsInitialized(), 0);
  }
}

TEST(EmbedInterpreter, ObjectsMayOutliveIt) {
  object left;
  {
    interpreter python(with_triga());
    left = python.find("os", "path").value();
  }
  EXPECT_TRUE(left);
}

TEST(EmbedInterpreter, WaitsForPythonsThreadsAtItsEnd) {
  const auto file = std::filesystem::path(testing::TempDir()) / "written_by_a_thread";
  std::filesystem::remove(file);
  {
    interpreter python(with_triga());
    python
        .run(
            "import threading, time\n"
            "def work():\n"
            "    threading.Event().wait(0.05)\n"
            "    open('" +
            file.string() +
            "', 'w').close()\n"
            "threading.Thread(target=work).start()\n")
        .value();
  }
  EXPECT_TRUE(std::filesystem::exists(file));
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace triga::embed
