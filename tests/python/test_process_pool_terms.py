"""What process pools do beyond the standard library: surviving crashes, time limits, retries, memory, measurements.

Each case is a script of its own, run by a fresh interpreter under triga.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """\
import asyncio, functools, multiprocessing as mp, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
import triga
def report(*values):
    import json
    print(json.dumps(values), flush=True)
def executor_of(workers=2, method="fork", **more):
    return ProcessPoolExecutor(workers, mp_context=mp.get_context(method), **more)
def pool_of(workers=2, **more):
    return triga.Pool(workers, context=mp.get_context("fork"), **more)
def error_of(call, *arguments):
    try:
        call(*arguments)
    except BaseException as error:
        return type(error).__name__
def once(path):
    "Ends the process the first time."
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "second time"
    os._exit(9)
"""


@pytest.fixture
def run(tmp_path: Path):
    """A function that runs a script's text with arguments under triga and returns what it reported, line by line."""

    def run_script(text: str, *arguments: str, **environment: str) -> list[object]:
        script = tmp_path / "script.py"
        script.write_text(PRELUDE + textwrap.dedent(text))
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "triga", str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run_script


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_crash_costs_the_task_that_ran_where_workers_are_replaced(run, method: str) -> None:
    assert run(
        """
        if __name__ == "__main__":
            with executor_of(method=sys.argv[1], on_crash="replace") as executor:
                ends = [executor.submit(os._exit, 3), executor.submit(abs, -1)]  # which may be cancelled in time
                ends[1].cancel()
                others = [executor.submit(abs, -number) for number in range(100)]
                error = ends[0].exception()
                report(type(error).__name__, error.exitcode, error.task, "exited with code 3" in str(error))
                report([future.result() for future in others] == list(range(100)))
                report(executor.submit(abs, -5).result(), len(executor._processes))
        """,
        method,
    ) == [["WorkerLostError", 3, "posix._exit", True], [True], [5, 2]]


def test_a_signal_is_named(run) -> None:
    assert run(
        """
        import ctypes
        def crash():
            ctypes.string_at(0)
        if __name__ == "__main__":
            with executor_of(1, on_crash="replace") as executor:
                error = executor.submit(crash).exception()
                report(error.exitcode, "SIGSEGV" in str(error), "crash" in str(error))
        """
    ) == [[-11, True, True]]


def test_what_does_not_go_together_is_refused(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            report(error_of(lambda: executor_of(on_crash="ignore")), error_of(lambda: executor_of(timeout=0)))
            report(error_of(lambda: executor_of(retries=-1)), error_of(lambda: executor_of(retries="1")))
            report(error_of(lambda: executor_of(on_crash="break", retries=1)))
            report(error_of(lambda: executor_of(memory_limit=0)), error_of(lambda: executor_of(memory_limit="1G")))
            report(error_of(lambda: executor_of().options(retries=1)))
        """
    ) == [
        ["ValueError", "ValueError"],
        ["ValueError", "TypeError"],
        ["ValueError"],
        ["ValueError", "TypeError"],
        ["ValueError"],
    ]


def test_a_task_that_runs_too_long_is_ended_and_its_worker_replaced(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            with executor_of(1) as executor:
                executor.submit(abs, -1).result()
                pid = executor.submit(os.getpid).result()
                late = executor.options(timeout=0.02).submit(time.sleep, 600)
                others = [executor.submit(abs, -number) for number in range(10)]
                error = late.exception()
                report(type(error).__name__, isinstance(error, TimeoutError), error.pid == pid, error.task)
                report([future.result() for future in others] == list(range(10)))
                report(executor.submit(os.getpid).result() != pid)
            with pool_of(1, timeout=0.02) as pool:
                report(error_of(pool.apply, time.sleep, (600,)), pool.options(timeout=60).apply(abs, (-3,)))
                report(error_of(pool.map, time.sleep, [600]), error_of(next, pool.imap(time.sleep, [600])))
        """
    ) == [
        ["TaskTimeoutError", True, True, "time.sleep"],
        [True],
        [True],
        ["TaskTimeoutError", 3],
        ["TaskTimeoutError", "TaskTimeoutError"],
    ]


def test_a_task_that_runs_can_be_cancelled(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            with executor_of(1) as executor:
                future = executor.submit(time.sleep, 600)
                while not future.running():
                    time.sleep(0.001)
                report(future.cancel(), future.cancel(running=True), future.cancelled(), future.done())
                report(error_of(future.result), executor.submit(abs, -2).result(), future.cancel(running=True))
                report(len(wait([future]).done))
            with pool_of(1) as pool:
                result = pool.apply_async(time.sleep, (600,))
                while not result.cancel(running=True):
                    time.sleep(0.001)
                report(error_of(result.get), pool.apply(abs, (-2,)))
        """
    ) == [[False, True, True, True], ["CancelledError", 2, True], [1], ["CancelledError", 2]]


def test_a_task_that_may_run_twice_is_begun_again_after_a_crash(run, tmp_path: Path) -> None:
    assert run(
        """
        if __name__ == "__main__":
            path = sys.argv[1]
            with executor_of(2, retries=1) as executor:
                report(executor.submit(once, path + "1").result())
                report(error_of(executor.options(retries=0).submit(once, path + "2").result))
            with pool_of(2) as pool:
                report(pool.options(retries=2).apply(once, (path + "3",)))
                report(pool.options(retries=1).map(once, [path + "4"]), error_of(pool.apply, once, (path + "5",)))
        """,
        str(tmp_path / "once"),
    ) == [["second time"], ["WorkerLostError"], ["second time"], [["second time"], "WorkerLostError"]]


def test_a_worker_has_no_more_memory_than_it_may(run) -> None:
    assert run(
        """
        def take(size):
            return len(bytearray(size))
        if __name__ == "__main__":
            with executor_of(1, memory_limit=512 << 20) as executor:
                report(executor.submit(take, 1 << 20).result(), error_of(executor.submit(take, 1 << 30).result))
                report(executor.submit(abs, -1).result())
            with pool_of(1, memory_limit=512 << 20) as pool:
                report(error_of(pool.apply, take, (1 << 30,)), pool.apply(abs, (-1,)))
        """
    ) == [[1 << 20, "MemoryError"], [1], ["MemoryError", 1]]


def test_a_task_can_be_measured(run) -> None:
    assert run(
        """
        def use(size):
            memory = bytearray(size)
            end = time.process_time() + 0.02
            while time.process_time() < end:
                pass
            return len(memory)
        if __name__ == "__main__":
            with executor_of(1) as executor:
                plain = executor.submit(abs, -1)
                small = executor.options(measure=True).submit(use, 1)
                large = executor.options(measure=True).submit(use, 64 << 20)
                again = executor.options(measure=True).submit(use, 1)
                report(plain.result(), plain.metadata, large.result(), small.result(), again.result())
                small, large, again = small.metadata, large.metadata, again.metadata
                report(0.02 <= small.cpu_time < 20, small.wall_time >= 0.02)
                report([large.peak_memory - each.peak_memory > 32 << 20 for each in (small, again)])
                error = executor.options(measure=True).submit(int, "x")
                report(type(error.exception()).__name__, error.metadata.peak_memory > 0)
            with pool_of(1, measure=True) as pool:
                result = pool.apply_async(use, (1,))
                report(result.get(), result.metadata.cpu_time >= 0.02)
        """
    ) == [[1, None, 64 << 20, 1, 1], [True, True], [[True, True]], ["ValueError", True], [1, True]]


def test_results_can_be_awaited(run) -> None:
    assert run(
        """
        async def main():
            with executor_of() as executor, pool_of() as pool:
                futures = [executor.submit(abs, -number) for number in range(5)]
                report([await future for future in futures])
                try:
                    await executor.submit(int, "x")
                except ValueError:
                    report("ValueError")
                seen = []
                results = [pool.apply_async(abs, (-7,)), pool.apply_async(abs, (-8,), callback=seen.append)]
                report(await results[0], await results[1], seen, await results[0])
                report(await pool.map_async(abs, [-1, -2]))
                late = pool.apply_async(time.sleep, (0.01,))
                report(await asyncio.gather(*[asyncio.ensure_future(each_of(late)) for _ in range(3)]))
        async def each_of(result):
            return await result
        if __name__ == "__main__":
            asyncio.run(main())
        """
    ) == [[[0, 1, 2, 3, 4]], ["ValueError"], [7, 8, [8], 7], [[1, 2]], [[None, None, None]]]


def test_progress_is_shown_by_tqdm_or_refused_before_any_work(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            sys.stderr = open(os.devnull, "w")
            with executor_of() as executor, pool_of() as pool:
                report(list(executor.map(abs, [-1, -2], progress=True)), pool.map(abs, [-1, -2], progress=True))
                report(list(pool.imap(abs, iter([-1, -2]), progress=True)))
                report(sorted(pool.imap_unordered(abs, [-1, -2], chunksize=2, progress=True)))
                sys.modules["tqdm"] = None
                try:
                    executor.map(abs, [-1], progress=True)
                except ImportError as error:
                    report("pip install tqdm" in str(error))
        """
    ) == [[[1, 2], [1, 2]], [[1, 2]], [[1, 2]], [True]]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_lambdas_and_closures_are_tasks_by_cloudpickle(run, method: str) -> None:
    assert run(
        """
        if __name__ == "__main__":
            offset = 10
            def closure(number):
                return number + offset
            with executor_of(method=sys.argv[1]) as executor:
                report(executor.submit(lambda number: number * 2, 4).result())
                report(list(executor.map(lambda a, b: a + b + offset, [1, 2], [3, 4])))
            with mp.get_context(sys.argv[1]).Pool(2) as pool:
                report(pool.map(lambda number: closure(number) + 1, [1, 2]), pool.apply(lambda: offset))
                queue = mp.get_context(sys.argv[1]).SimpleQueue()
                report(error_of(pool.apply, abs, (threading.Lock(),)), error_of(pool.apply, lambda: queue))
        """,
        method,
    ) == [[8], [[14, 16]], [[12, 13], 10], ["TypeError", "RuntimeError"]]


def test_where_cloudpickle_is_missing_the_error_names_it(run) -> None:
    assert run(
        """
        def notes_of(error):  # pickle's own notes, from 3.14 on, say which part of an object it was
            return ["pip install cloudpickle" in note for note in getattr(error, "__notes__", [])].count(True)
        if __name__ == "__main__":
            sys.modules["cloudpickle"] = None
            with executor_of(1) as executor, pool_of(1) as pool:
                report(notes_of(executor.submit(lambda: 1).exception()))
                report(notes_of(executor.submit(abs, threading.Lock()).exception()))
                try:
                    pool.apply(lambda: 1)
                except Exception as error:
                    report(type(error).__name__ in ("PicklingError", "AttributeError"), notes_of(error))
        """
    ) == [[1], [0], [True, 1]]


def test_an_exception_that_cannot_be_pickled_says_so(run) -> None:
    assert run(
        """
        class Stubborn(Exception):
            def __reduce__(self):
                raise TypeError("not me")
        def fail():
            raise Stubborn("the reason")
        if __name__ == "__main__":
            with executor_of(1) as executor, pool_of(1) as pool:
                error = executor.submit(fail).exception()
                report(type(error).__name__, str(error), "the reason" in str(getattr(error, "__notes__", "")))
                try:
                    pool.apply(fail)
                except Exception as error:
                    report(type(error).__name__, "the reason" in str(error))
        """
    ) == [["TypeError", "not me", True], ["MaybeEncodingError", True]]


def test_a_function_is_looked_up_by_name_for_each_task(run) -> None:
    """A worker keeps the function that a name meant; what a task puts in its place must count from the next on."""
    assert run(
        """
        def first():
            return "first"
        def second():
            return "second"
        def swap():
            global first
            first = second
        if __name__ == "__main__":
            with executor_of(1) as executor:
                report([executor.submit(first).result() for _ in range(2)])
                executor.submit(swap).result()
                report(executor.submit(first).result())
                kept, first = first, second
                report(executor.submit(first).result(), executor.submit(kept).result())  # the latter by cloudpickle
        """
    ) == [[["first", "first"]], ["second"], ["second", "first"]]


def test_values_of_every_small_kind_come_back_as_they_went(run) -> None:
    assert run(
        """
        import enum
        class Number(enum.IntEnum):
            ONE = 1
        class Text(str):
            pass
        def same(*values):
            return values[0] if len(values) == 1 else values
        if __name__ == "__main__":
            shared = [1]
            values = [None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**63, 1.5, float("inf"), "", "text", "t\\u00e4xt",
                      b"", b"bytes", "x" * 5000, (),
                      (1, ("a", (2.5, (None, (b"", ((),)))))), [], [1, "a"], [[1]], {"a": 1},
                      Number.ONE, Text("t"), 1j, tuple(range(5000)), list(range(9000)), bytearray(b"x")]
            with executor_of(1) as executor, pool_of(1) as pool:
                for value in values:
                    for back in (executor.submit(same, value).result(), pool.apply(same, (value,)),
                                 pool.map(same, [value])[0]):
                        assert back == value and type(back) is type(value), (value, back)
                one, two = executor.submit(same, shared, shared).result()
                report(one is two, str(executor.submit(same, float("nan")).result()))
                report([type(each).__name__ for each in executor.submit(same, Number.ONE, True, 1).result()])
        """
    ) == [[True, "nan"], [["Number", "bool", "int"]]]
