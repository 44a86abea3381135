"""concurrent.futures.ThreadPoolExecutor, one body for the standard library's and triga's."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import subprocess
import sys
import threading
import time
import timeit
import tracemalloc
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

import pytest

import triga


def run_program(text: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with the threads part active."""
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        env={**os.environ, "TRIGA": "threads"},
        timeout=60,
    )


def test_the_native_pool_runs_the_tasks() -> None:
    with triga.installed():
        before = triga.stats()["tasks_run"]
        with concurrent.futures.ThreadPoolExecutor(2) as executor:
            assert isinstance(executor, concurrent.futures.Executor)
            assert [executor.submit(pow, i, 2).result() for i in range(10)] == [i * i for i in range(10)]
            assert list(executor.map(pow, range(10), [3] * 10)) == [i**3 for i in range(10)]
        assert triga.stats()["tasks_run"] == before + 20


def test_arguments_of_every_kind(backend: str) -> None:
    def echo(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        for args, kwargs in [((), {}), ((1,), {}), ((1, 2, 3, 4), {}), ((1,), {"x": 2, "fn": 3, "self": 4})]:
            assert executor.submit(echo, *args, **kwargs).result() == (args, kwargs)
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'fn'"):
            executor.submit()  # type: ignore[call-arg]


def test_grows_only_when_no_worker_is_idle(backend: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(4, thread_name_prefix="grow") as executor:
        gate = threading.Semaphore(0)
        blocked = [executor.submit(gate.acquire) for _ in range(3)]
        assert len(executor._threads) == 3
        assert {thread.name for thread in executor._threads} == {f"grow_{i}" for i in range(3)}
        gate.release(3)
        concurrent.futures.wait(blocked)
        for _ in range(20):
            executor.submit(gate.acquire)
        assert len(executor._threads) == 4
        gate.release(20)


def test_a_failing_initializer_breaks_the_pool(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    executor = concurrent.futures.ThreadPoolExecutor(1, initializer=int, initargs=("x",))
    with pytest.raises(BrokenThreadPool):
        executor.submit(int).result()
    with pytest.raises(BrokenThreadPool, match="initializer failed"):
        executor.submit(int)
    assert "Exception in initializer" in caplog.text
    executor.shutdown()


def test_shutdown_runs_what_is_queued_or_cancels_it(backend: str) -> None:
    gate = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    first = executor.submit(gate.wait)
    queued = [executor.submit(int) for _ in range(5)]
    executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    gate.set()
    assert [future.result() for future in queued] == [0] * 5
    assert first.result() is True

    gate.clear()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.submit(gate.wait)
    queued = [executor.submit(int) for _ in range(5)]
    executor.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert all(future.cancelled() for future in queued)


def test_a_collected_executor_finishes_its_work(backend: str) -> None:
    executor = concurrent.futures.ThreadPoolExecutor(2)
    gate = threading.Event()
    futures = [executor.submit(gate.wait) for _ in range(4)]
    threads = executor._threads
    del executor
    gc.collect()
    gate.set()
    assert [future.result() for future in futures] == [True] * 4
    for thread in threads:
        thread.join()


def test_a_replaced_submit_sees_every_task_of_map(backend: str) -> None:
    seen = []

    class Counting(concurrent.futures.ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            seen.append(args)
            return super().submit(fn, *args, **kwargs)

    with Counting(2) as executor:
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
        plain = executor.submit
        executor.submit = lambda fn, *args: plain(fn, *args)  # type: ignore[method-assign]
        assert list(executor.map(abs, [-3])) == [3]
    assert seen == [(-1,), (-2,), (-3,)]


def test_map_with_a_buffer_and_with_a_timeout() -> None:
    with triga.installed(), concurrent.futures.ThreadPoolExecutor(1) as executor:
        taken: list[int] = []

        def numbers() -> Any:
            for i in range(10):
                taken.append(i)
                yield i

        results = executor.map(abs, numbers(), buffersize=2)  # type: ignore[call-arg]
        assert taken == [0, 1]
        assert next(results) == 0
        assert taken == [0, 1, 2]
        assert list(results) == list(range(1, 10))
        gate = threading.Event()
        with pytest.raises(TimeoutError):
            list(executor.map(lambda _: gate.wait(), [1], timeout=0.01))
        gate.set()


def test_nested_submits(backend: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as executor:

        def count(n: int) -> int:
            return 1 if n == 0 else 1 + executor.submit(count, n - 1).result()

        assert count(2) == 3


def test_pending_tasks_run_at_exit() -> None:
    done = run_program(
        "import concurrent.futures, threading, time\n"
        "ex = concurrent.futures.ThreadPoolExecutor(1)\n"
        "for i in range(3): ex.submit(lambda i=i: (time.sleep(.01), print(i, flush=True)))\n"
        "ex.shutdown(wait=False)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", "")


def test_submit_at_exit_is_refused() -> None:
    done = run_program(
        "import atexit, concurrent.futures\n"
        "ex = concurrent.futures.ThreadPoolExecutor(1); ex.submit(int)\n"
        "@atexit.register\n"
        "def late():\n"
        "    try: ex.submit(int)\n"
        "    except RuntimeError as error: print(error)\n"
    )
    assert done.returncode == 0
    assert done.stdout.startswith("cannot schedule new futures after")


def test_an_executor_can_be_used_in_a_forked_child() -> None:
    done = run_program(
        "import concurrent.futures, os, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "ex = concurrent.futures.ThreadPoolExecutor(1); ex.submit(int).result()\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(ex.submit(int, '7').result())\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


def test_a_waiting_task_takes_at_most_half_of_the_standard_librarys_memory() -> None:
    def measured(count: int = 2000) -> float:
        gate = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            executor.submit(gate.wait)
            tracemalloc.start()
            try:
                futures = [executor.submit(abs, -1) for _ in range(count)]
                size, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
                gate.set()
            assert futures[-1].result(30) == 1
        return size / count

    standard = measured()
    with triga.installed():
        native = measured()
    assert native * 2 <= standard


def test_an_exception_keeps_the_traceback_of_the_task(backend: str) -> None:
    def task() -> None:
        raise LookupError("lost")

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        future = executor.submit(task)
        for _ in range(2):
            with pytest.raises(LookupError, match="lost") as caught:
                future.result(30)
            assert caught.traceback[-1].name == "task"
        error = future.exception()
        assert error is caught.value and error.__cause__ is None and error.__context__ is None


@pytest.mark.parametrize("interval", [0.005, 0.03])
def test_a_pool_that_is_never_idle_leaves_others_their_turns(backend: str, interval: float) -> None:
    """Its worker let go of the GIL just before each request for it, and took it back before the waiter was awake."""

    def again(pool: concurrent.futures.Executor) -> None:
        if not done.is_set():
            pool.submit(again, pool)

    done, before = threading.Event(), sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(again, pool)
            for _ in range(50):
                time.sleep(0)  # lets go of the GIL, and waits for it
            done.set()
    finally:
        sys.setswitchinterval(before)


def test_who_waits_for_the_gil_beside_tasks_of_c_gets_it_after_one_switch_interval(backend: str) -> None:
    """Between such tasks no bytecode runs that would hear of a request. It took up to three intervals."""

    def waited() -> float:
        began = time.monotonic()
        time.sleep(0.001)
        return (time.monotonic() - began) / interval

    interval, before = 0.1, sys.getswitchinterval()
    a_task = min(timeit.repeat(lambda: sum(range(20_000)), number=1, repeat=20))  # some hundred microseconds
    waits_at_most = 7 * 3 * interval
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(sum, range(20_000)) for _ in range(int(2 * waits_at_most / a_task))]
        sys.setswitchinterval(interval)
        try:
            waits = sorted(waited() for _ in range(7))
        finally:
            sys.setswitchinterval(before)
        assert not futures[-1].done(), "the pool was idle: nothing was shown"
        pool.shutdown(cancel_futures=True)
    assert waits[3] < 1.7
