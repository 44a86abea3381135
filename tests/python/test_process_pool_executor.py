"""ProcessPoolExecutor: each script runs on the standard library and on triga, and must do the same.

Every case is a script of its own, run by a fresh interpreter with a time limit: workers, crashes, forks and exits
concern the whole process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

METHODS = ["fork", "spawn", "forkserver"]
PRELUDE = """\
import multiprocessing as mp, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
def report(*values):
    import json
    print(json.dumps(values), flush=True)
def pool(workers=2, method=None, **more):
    return ProcessPoolExecutor(workers, mp_context=mp.get_context(method or "fork"), **more)
def error_of(call, *arguments):
    try:
        call(*arguments)
    except BaseException as error:
        return type(error).__name__
"""


@pytest.fixture(params=["stdlib", "triga", "processes"])
def run(request: pytest.FixtureRequest, tmp_path: Path):
    """A function that runs a script's text with arguments and returns what it reported, line by line.

    The third backend is triga without its threads, where futures are the standard library's.
    """
    counters = tmp_path / "counters"

    def run_script(text: str, *arguments: str, tasks: int = 1) -> list[object]:
        script = tmp_path / "script.py"
        script.write_text(PRELUDE + textwrap.dedent(text))
        switch = {"stdlib": "0", "triga": "1", "processes": "processes"}[request.param]
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "TRIGA": switch, "TRIGA_STATS": str(counters)},
        )
        assert done.returncode == 0, done.stderr
        if request.param != "stdlib" and tasks:
            lines = [json.loads(line) for line in counters.read_text().splitlines()]
            assert max(line["process_tasks_run"] for line in lines) >= tasks, "the C++ core ran nothing"
        return [json.loads(line) for line in done.stdout.splitlines()]

    run_script.backend = request.param  # type: ignore[attr-defined]
    return run_script


@pytest.mark.parametrize("method", METHODS)
def test_results_and_exceptions_come_back(run, method: str) -> None:
    assert run(
        """
        def fail(number):
            raise ValueError(number)
        if __name__ == "__main__":
            with pool(method=sys.argv[1]) as executor:
                report(executor.submit(pow, 2, 8).result(), executor.submit(int, "ff", base=16).result())
                error = executor.submit(fail, 7).exception()
                cause = error.__cause__
                report(type(error).__name__, error.args, type(cause).__name__, "in fail" in cause.tb)
                report(error_of(executor.submit(sys.exit, 3).result))
            report(error_of(executor.submit, pow, 2, 8))
        """,
        method,
        tasks=4,
    ) == [[256, 255], ["ValueError", [7], "_RemoteTraceback", True], ["SystemExit"], ["RuntimeError"]]


def test_wrong_arguments_are_refused(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            report([error_of(ProcessPoolExecutor, workers) for workers in (0, -1, "2")])
            report(error_of(lambda: ProcessPoolExecutor(1, initializer=3)))
            report(error_of(lambda: ProcessPoolExecutor(1, max_tasks_per_child=0)))
            report(error_of(lambda: ProcessPoolExecutor(1, max_tasks_per_child="1")))
            report(error_of(lambda: pool(max_tasks_per_child=1)))
            report(ProcessPoolExecutor(1, max_tasks_per_child=1)._mp_context.get_start_method())
            executor = pool()
            report(error_of(lambda: executor.map(abs, [1], chunksize=0)), error_of(lambda: executor.submit(fn=abs)))
        """,
        tasks=0,
    ) == [
        [["ValueError", "ValueError", "TypeError"]],
        ["TypeError"],
        ["ValueError"],
        ["TypeError"],
        ["ValueError"],
        ["spawn"],
        ["ValueError", "TypeError"],
    ]


def test_what_cannot_be_pickled_fails_its_own_future_only(run) -> None:
    assert run(
        """
        def unsendable():
            return threading.Lock()
        if __name__ == "__main__":
            with pool() as executor:
                argument = executor.submit(abs, threading.Lock())
                value = executor.submit(unsendable)
                report(type(argument.exception()).__name__, type(argument.exception().__cause__).__name__)
                report(type(value.exception()).__name__, type(value.exception().__cause__).__name__)
                report(executor.submit(abs, -1).result())
        """
    ) == [["TypeError", "_RemoteTraceback"], ["TypeError", "_RemoteTraceback"], [1]]


def test_a_task_is_cancelled_before_a_worker_takes_it_and_not_after(run) -> None:
    assert run(
        """
        def prepare(*events):
            global started, go
            started, go = events
        def hold():
            started.set()
            go.wait()
        if __name__ == "__main__":
            context = mp.get_context("fork")
            prepare(context.Event(), context.Event())
            with pool(1, initializer=prepare, initargs=(started, go)) as executor:
                running = executor.submit(hold)
                later = [executor.submit(abs, -number) for number in range(20)]
                started.wait()
                report(running.running(), running.cancel(), running.cancelled(), "running" in repr(running))
                last = later.pop()
                report(last.cancel(), last.cancelled(), last.done(), error_of(last.result), last.cancel())
                go.set()
                report([future.result() for future in later] == list(range(19)), running.done())
                done, not_done = wait([*later, last])
                report(len(done), len(not_done), running.cancel())
        """
    ) == [[True, False, False, True], [True, True, True, "CancelledError", True], [True, True], [20, 0, False]]


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_dies_breaks_the_executor(run, method: str) -> None:
    assert run(
        """
        if __name__ == "__main__":
            executor = pool(method=sys.argv[1])
            executor.submit(abs, -1).result()
            dead, other = executor.submit(os._exit, 3), executor.submit(time.sleep, 600)
            report(error_of(dead.result), error_of(other.result), error_of(executor.submit, abs, -1))
            executor.shutdown()
            executor = pool(method=sys.argv[1])
            executor.submit(abs, -1).result()
            for process in list(executor._processes.values()):
                process.kill()
                break
            report(error_of(executor.submit(time.sleep, 600).result) if not executor._broken else "BrokenProcessPool")
            executor.shutdown()
        """,
        method,
    ) == [["BrokenProcessPool"] * 3, ["BrokenProcessPool"]]


def test_a_result_that_cannot_be_unpickled_breaks_the_executor(run) -> None:
    assert run(
        """
        class Needs(Exception):
            def __init__(self, one, two):
                super().__init__("text")
        def fail():
            raise Needs(1, 2)
        if __name__ == "__main__":
            with pool() as executor:
                report(error_of(executor.submit(fail).result), error_of(executor.submit, abs, 1))
        """
    ) == [["BrokenProcessPool", "BrokenProcessPool"]]


@pytest.mark.parametrize("method", METHODS)
def test_initializer_runs_in_each_worker_and_its_failure_breaks_the_executor(run, method: str) -> None:
    assert run(
        """
        def prepare(value):
            global prepared
            prepared = value
        def look():
            return prepared
        def fail():
            sys.stderr = open(os.devnull, "w")
            raise ValueError("no")
        if __name__ == "__main__":
            with pool(method=sys.argv[1], initializer=prepare, initargs=("ready",)) as executor:
                report([executor.submit(look).result() for _ in range(4)])
            with pool(method=sys.argv[1], initializer=fail) as executor:
                report(error_of(lambda: executor.submit(look).result()))
        """,
        method,
    ) == [[["ready"] * 4], ["BrokenProcessPool"]]


def test_workers_are_replaced_after_their_share_of_tasks(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            with pool(1, "spawn", max_tasks_per_child=3) as executor:
                pids = [executor.submit(os.getpid).result() for _ in range(7)]
                report([pids.index(pid) for pid in pids], len(executor._processes))
            with pool(2, "spawn", max_tasks_per_child=1) as executor:
                report(len({future.result() for future in [executor.submit(os.getpid) for _ in range(5)]}))
        """
    ) == [[[0, 0, 0, 3, 3, 3, 6], 1], [5]]


def test_shutdown_cancels_what_no_worker_has_begun_if_asked(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            executor = pool(1)
            futures = [executor.submit(time.sleep, 0.05) for _ in range(40)]
            executor.shutdown(cancel_futures=True)
            cancelled = [future.cancelled() for future in futures]
            report(sum(cancelled) > 20, not cancelled[0], all(future.done() for future in futures))
            report(executor._processes, executor._executor_manager_thread)
            executor.shutdown()
        """
    ) == [[True, True, True], [None, None]]


def test_map_takes_chunks_and_keeps_order_and_time(run) -> None:
    assert run(
        """
        def fail(number):
            return 1 // number
        if __name__ == "__main__":
            with pool() as executor:
                for size in (1, 2, 50):
                    report(list(executor.map(abs, range(-9, 0), chunksize=size)) == list(range(9, 0, -1)))
                report(list(executor.map(pow, [2, 3, 4], [1, 2])))
                report(error_of(next, executor.map(time.sleep, [1], timeout=0)))
                results = executor.map(fail, [1, 0, 1])
                report(next(results), error_of(next, results), error_of(next, results))
        """
    ) == [[True], [True], [True], [[2, 9]], ["TimeoutError"], [1, "ZeroDivisionError", "StopIteration"]]


def test_many_threads_submit_at_once(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            with pool() as executor:
                sums = []
                def submit():
                    sums.append(sum(executor.submit(abs, -number).result() for number in range(50)))
                threads = [threading.Thread(target=submit) for _ in range(8)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                report(sums == [1225] * 8)
        """,
        tasks=400,
    ) == [[True]]


def test_futures_work_with_asyncio_wait_and_as_completed(run) -> None:
    assert run(
        """
        import asyncio
        async def main(executor):
            loop = asyncio.get_running_loop()
            first = await loop.run_in_executor(executor, pow, 2, 5)
            return first, await asyncio.wrap_future(executor.submit(pow, 2, 6))
        if __name__ == "__main__":
            from concurrent.futures import Executor, Future
            with pool() as executor:
                report(asyncio.run(main(executor)))
                futures = [executor.submit(abs, -number) for number in range(10)]
                report(sorted(future.result() for future in as_completed(futures)), isinstance(futures[0], Future))
                seen = []
                futures[0].add_done_callback(lambda future: seen.append(future.result()))
                report(seen, isinstance(executor, Executor))
        """
    ) == [[[32, 64]], [[*range(10)], True], [[0], True]]


@pytest.mark.parametrize("method", METHODS)
def test_pending_tasks_are_done_before_the_interpreter_exits(run, method: str) -> None:
    assert (
        run(
            """
        if __name__ == "__main__":
            executor = pool(method=sys.argv[1])
            for number in range(5):
                executor.submit(time.sleep, 0.01).add_done_callback(lambda future: report(future.result()))
        """,
            method,
        )
        == [[None]] * 5
    )


def test_an_executor_that_nobody_uses_finishes_its_work_and_goes(run) -> None:
    assert run(
        """
        if __name__ == "__main__":
            executor = pool()
            futures = [executor.submit(abs, -number) for number in range(10)]
            thread, processes = executor._executor_manager_thread, executor._processes
            del executor
            report([future.result() for future in futures] == list(range(10)))
            thread.join()
            report([process.exitcode for process in processes.values()])
        """
    ) == [[True], [[0, 0]]]


def test_a_forked_child_leaves_its_parents_executor_alone(run) -> None:
    assert run(
        """
        import warnings
        warnings.simplefilter("ignore")
        if __name__ == "__main__":
            executor = pool()
            executor.submit(abs, -1).result()
            child = os.fork()
            if child == 0:
                sys.exit(5)
            report(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            report(executor.submit(abs, -2).result())
            executor.shutdown()
        """
    ) == [[5], [2]]


def test_arguments_wait_as_objects_while_workers_are_busy(run) -> None:
    """Tasks that share one large argument must not each keep a pickled copy of it until a worker is free."""
    assert run(
        """
        import resource
        if __name__ == "__main__":
            with pool(1) as executor:
                executor.submit(abs, -1).result()
                shared = bytes(4 << 20)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                futures = [executor.submit(len, shared) for _ in range(100)]
                report({future.result() for future in futures} == {4 << 20})
                report((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 100)
        """
    ) == [[True], [True]]


@pytest.mark.parametrize("end", ["terminate_workers", "kill_workers"])
def test_workers_can_be_ended_by_force(run, end: str) -> None:
    if run.backend == "stdlib" and sys.version_info < (3, 14):
        pytest.skip("the standard library has it from 3.14 on")
    ended = run(
        """
        if __name__ == "__main__":
            executor = pool()
            executor.submit(abs, -1).result()
            futures = [executor.submit(time.sleep, 600) for _ in range(10)]
            while not futures[0].running():
                time.sleep(0.001)
            getattr(executor, sys.argv[1])()
            executor.shutdown()
            report(error_of(futures[0].result), error_of(futures[-1].result))
            report(error_of(executor.submit, abs, 1) in ("RuntimeError", "BrokenProcessPool"))
        """,
        end,
    )
    # Of the standard library's two threads, one cancels what is pending and the other breaks it: who comes first wins.
    pending = ["CancelledError", "BrokenProcessPool"] if run.backend == "stdlib" else ["CancelledError"]
    assert ended in [[["BrokenProcessPool", each], [True]] for each in pending]


def test_nothing_is_left_behind(run) -> None:
    """Descriptors and shared memory of an executor go with it, whether it ended well or broke."""
    assert run(
        """
        def count():
            with open("/proc/self/maps") as maps:
                return len(os.listdir("/proc/self/fd")), sum("memfd:" in line or "/dev/shm" in line for line in maps)
        if __name__ == "__main__":
            import gc
            with pool() as executor:
                executor.submit(abs, -1).result()
            gc.collect()
            before = count()
            for _ in range(5):
                with pool() as executor:
                    executor.submit(abs, -1).result()
                with pool() as executor:
                    executor.submit(os._exit, 1).exception()
                pool()
            del executor
            gc.collect()
            after = count()
            report(after[0] <= before[0], after[1] <= before[1], mp.active_children())
        """
    ) == [[True, True, []]]
