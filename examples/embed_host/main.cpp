// SPDX-License-Identifier: MIT
// A C++ program with Python inside: no python executable is run. It starts the interpreter on triga's
// runtime, runs a script on it, and calls Python functions from C++ threads, getting their results and
// exceptions as C++ values.
//
//   embed_host PACKAGE SCRIPT [ARGUMENTS...]
//
// PACKAGE is the folder that holds the triga package (bindings/python in a checkout); its native module is
// linked in. Exits with the script's exit code, or with 1 if the script raised or a check failed.
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "runtime/embed/executor.h"
#include "runtime/embed/interpreter.h"
#include "runtime/trace/counters.h"

extern "C" PyObject* PyInit__core();

namespace {

namespace embed = triga::embed;

constexpr const char* functions = R"(
def collatz(start):
    """How many steps to 1."""
    steps = 0
    while start != 1:
        start = start // 2 if start % 2 == 0 else 3 * start + 1
        steps += 1
    return steps

def divide(a, b):
    return a / b
)";

bool check(bool condition, const char* what) {
  if (!condition) std::fprintf(stderr, "embed_host: %s\n", what);
  return condition;
}

// Calls a Python function from two C++ threads at once and adds up what it returns.
bool call_from_threads(embed::executor& pool, const embed::object& collatz) {
  std::vector<std::vector<std::future<embed::outcome<long>>>> answers(2);
  {
    std::vector<std::jthread> callers;
    for (auto& mine : answers) {
      callers.emplace_back([&] {
        for (long start = 1; start <= 500; ++start) mine.push_back(pool.submit<long>(collatz, start));
      });
    }
  }
  long sum = 0;
  for (auto& mine : answers) {
    for (auto& each : mine) sum += each.get().value();
  }
  std::printf("1000 calls from two C++ threads: %ld steps\n", sum);
  return check(sum == 2 * 26143, "the sum of the steps is wrong");
}

// A Python exception is a value here, too.
bool catch_exception(embed::executor& pool, const embed::object& divide) {
  const embed::outcome<double> answer = pool.submit<double>(divide, 1.0, 0.0).get();
  if (!check(!answer.has_value(), "1 / 0 has a value")) return false;
  std::printf("%s: %s\n%s", answer.error().type.c_str(), answer.error().message.c_str(),
              answer.error().traceback.c_str());
  return check(answer.error().type == "ZeroDivisionError", "1 / 0 is another error");
}

bool run_functions(embed::interpreter& python) {
  python.run(functions).value();
  embed::executor pool(python, 4);
  const auto collatz = python.find("__main__", "collatz").value();
  const auto divide = python.find("__main__", "divide").value();
  return call_from_threads(pool, collatz) && catch_exception(pool, divide);
}

int run(const std::string& package, const std::string& script, const std::vector<std::string>& arguments) {
  embed::interpreter python({.packages = {package}, .built_ins = {{"triga._core", PyInit__core}}});
  const auto status = python.run_script(script, arguments);
  if (!status) {
    std::fputs(status.error().traceback.c_str(), stderr);
    return 1;
  }
  if (!run_functions(python)) return 1;
  // Python and C++ count on the same runtime.
  const auto tasks = triga::trace::snapshot()[static_cast<std::size_t>(triga::trace::counter::tasks_run)];
  std::printf("tasks run by the core for both: %llu\n", static_cast<unsigned long long>(tasks));
  if (!check(tasks >= 1001 && python.counter("tasks_run").value() == tasks, "the two do not share a runtime"))
    return 1;
  return *status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: embed_host PACKAGE SCRIPT [ARGUMENTS...]\n", stderr);
    return 2;
  }
  try {
    return run(argv[1], argv[2], {argv + 3, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embed_host: %s\n", error.what());
    return 1;
  }
}
