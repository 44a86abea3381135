// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>

#include "runtime/embed/convert.h"
#include "runtime/embed/interpreter.h"
#include "runtime/embed/object.h"
#include "runtime/embed/outcome.h"
#include "runtime/exec/cached_pool.h"

namespace triga::embed {

// Runs Python callables on a pool of native threads for C++ callers.
//
//   embed::executor pool(python, 4);
//   auto factorial = python.find("math", "factorial").value();
//   std::future<embed::outcome<long>> answer = pool.submit<long>(factorial, 20);
//   answer.get()                                  // 2432902008176640000, or the exception as C++ values
//
// submit() may be called on any thread and never takes the GIL: arguments travel as C++ values and are
// converted on the worker. A worker takes the GIL once for all the tasks that it finds queued. SystemExit and
// KeyboardInterrupt from a task are failures of that task like any other exception.
class executor {
 public:
  enum class queued_tasks { run, drop };

  // Requires that the interpreter outlives the use of submit(); it shuts the executor down at its own end.
  executor(interpreter& python, std::size_t workers);
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;
  executor(executor&&) = delete;
  executor& operator=(executor&&) = delete;
  ~executor() { shut_down(queued_tasks::run); }

  // Calls callable(*arguments) on a worker. The future is ready with a failure of type "CancelledError" if
  // the executor was shut down before, or dropped the task. Arguments are copied or moved into the task: a
  // string literal becomes a std::string.
  template <class Result, class... Arguments>
  [[nodiscard]] std::future<outcome<Result>> submit(object callable, Arguments&&... arguments) {
    using work = python_task<Result, as_stored<Arguments>...>;
    auto task = std::make_unique<work>(std::move(callable),
                                       as_stored<Arguments>(std::forward<Arguments>(arguments))...);
    auto future = task->promise.get_future();
    hand_over(std::move(task));
    return future;
  }

  // No task is accepted any more; runs or drops what is queued, and waits for the workers to have let go of
  // Python. May be called twice, and with or without the GIL, but not by a task of this executor.
  void shut_down(queued_tasks what) noexcept;

 private:
  template <class Type>
  using as_stored =
      std::conditional_t<std::is_convertible_v<Type, std::string>, std::string, std::decay_t<Type>>;

  // A task that can also be told that it will not run. Either ends its life: run() with the GIL held, drop()
  // without need of it.
  struct any_task : exec::task {
    virtual void drop() noexcept = 0;
    ~any_task() override = default;
  };

  template <class Result, class... Arguments>
  struct python_task final : any_task {
    explicit python_task(object its_callable, Arguments... its_arguments)
        : callable(std::move(its_callable)), arguments(std::move(its_arguments)...) {}

    void run() override {
      const std::unique_ptr<python_task> self(this);
      try {
        auto result = std::apply(
            [&](const Arguments&... each) { return embed::call<Result>(callable, each...); }, arguments);
        promise.set_value(std::move(result));
      } catch (const std::exception& error) {  // a converter threw, as for want of memory
        promise.set_value(failure{"C++ exception", error.what(), ""});
      }
    }

    void drop() noexcept override {
      const std::unique_ptr<python_task> self(this);
      promise.set_value(dropped());
    }

    object callable;
    std::tuple<Arguments...> arguments;
    std::promise<outcome<Result>> promise;
  };

  static failure dropped();
  void hand_over(std::unique_ptr<any_task> task);

  interpreter& python_;
  exec::cached_pool pool_;
  std::once_flag ended_;
};

}  // namespace triga::embed
