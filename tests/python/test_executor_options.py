"""What triga's ThreadPoolExecutor has beyond the standard library's: priorities, deadlines, bounds, contexts."""

from __future__ import annotations

import contextvars
import gc
import inspect
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, TimeoutError
from contextlib import contextmanager
from typing import Any

import pytest

import triga

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


@contextmanager
def busy(executor: Any) -> Iterator[threading.Event]:
    """Keeps the executor's one worker in a task, until the event is set or the block ends."""
    inside, gate = threading.Event(), threading.Event()

    def block() -> None:
        inside.set()
        gate.wait()

    executor.submit(block)
    inside.wait()
    try:
        yield gate
    finally:
        gate.set()


def test_greater_priorities_go_first_and_equal_ones_in_order() -> None:
    ran: list[str] = []
    with triga.ThreadPoolExecutor(1) as executor, busy(executor):
        low, high = executor.options(priority=-1), executor.options(priority=5)
        for name, through in [("a", low), ("b", executor), ("c", high), ("d", executor), ("e", high), ("f", low)]:
            through.submit(ran.append, name)
    assert ran == ["c", "e", "b", "d", "a", "f"]


def test_a_task_that_waits_beyond_its_deadline_is_not_run_and_says_how_long_it_waited() -> None:
    before = triga.stats()["tasks_expired"]
    ran: list[int] = []
    with triga.ThreadPoolExecutor(1) as executor, busy(executor):
        late = executor.options(deadline=0.03).submit(ran.append, 1)
        # While the worker is busy all the time.
        with pytest.raises(TimeoutError, match=r"waited \d+\.\d{3} s for a worker, and its deadline was 0\.030 s"):
            late.result()
        early = executor.options(deadline=3600).submit(ran.append, 2)
    assert early.result() is None
    assert ran == [2]
    assert triga.stats()["tasks_expired"] == before + 1


def test_deadlines_end_in_their_order_and_a_queued_task_can_still_be_cancelled() -> None:
    ended: list[str] = []
    with triga.ThreadPoolExecutor(1) as executor, busy(executor):
        cancelled = executor.options(deadline=0.01).submit(int)
        assert cancelled.cancel()
        for name, deadline in [("b", 0.06), ("a", 0.02)]:
            executor.options(deadline=deadline).submit(int).add_done_callback(lambda _, name=name: ended.append(name))
        while len(ended) < 2:
            time.sleep(0)
        assert ended == ["a", "b"]
        with pytest.raises(CancelledError):
            cancelled.result()


def test_options_are_checked() -> None:
    with triga.ThreadPoolExecutor(1) as executor:
        for options, error in [
            ({"priority": "high"}, TypeError),
            ({"priority": 1.5}, TypeError),
            ({"deadline": "soon"}, TypeError),
            ({"timeout": "soon"}, TypeError),
        ]:
            with pytest.raises(error):
                executor.options(**options)
        with pytest.raises(ValueError, match="priority must lie between"):
            executor.options(priority=2**40).submit(int)
        with pytest.raises(ValueError, match="NaN"):
            executor.options(deadline=float("nan")).submit(int)
    for options, error in [
        ({"max_queue": 0}, ValueError),
        ({"max_queue": 1.0}, TypeError),
        ({"idle_timeout": 0}, ValueError),
        ({"idle_timeout": float("nan")}, ValueError),
        ({"nonesuch": 1}, (TypeError, AttributeError)),
    ]:
        with pytest.raises(error):
            triga.ThreadPoolExecutor(1, **options)


def test_arguments_through_options_are_as_through_submit() -> None:
    def echo(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    with triga.ThreadPoolExecutor(1) as executor:
        given = executor.options(priority=1).submit(echo, 1, 2, 3, priority=4, self=5, fn=6)
        assert given.result() == ((1, 2, 3), {"priority": 4, "self": 5, "fn": 6})
        with pytest.raises(ZeroDivisionError):
            executor.options().submit(divmod, 1, 0).result()


def test_a_full_queue_makes_submit_wait_or_raise_full() -> None:
    with triga.ThreadPoolExecutor(1, max_queue=2) as executor, busy(executor) as gate:
        first, second = (executor.submit(int) for _ in range(2))
        with pytest.raises(queue.Full, match="2 tasks wait already"):
            executor.options(timeout=0.01).submit(int)
        with pytest.raises(queue.Full):
            executor.options(timeout=0).submit(int)
        waiting: list[Any] = []
        submitter = threading.Thread(target=lambda: waiting.append(executor.submit(str)))
        submitter.start()
        submitter.join(0.02)
        assert submitter.is_alive()
        gate.set()
        submitter.join()
        assert waiting[0].result() == ""
        assert first.result() == second.result() == 0


def test_a_bounded_map_and_a_shutdown_while_submit_waits() -> None:
    with triga.ThreadPoolExecutor(2, max_queue=3) as executor:
        assert list(executor.map(abs, range(-500, 0))) == list(range(500, 0, -1))
    executor = triga.ThreadPoolExecutor(1, max_queue=1)
    refused: list[str] = []

    def submit() -> None:
        try:
            executor.submit(int)
        except RuntimeError as error:
            refused.append(str(error))

    with busy(executor):
        executor.submit(int)
        submitter = threading.Thread(target=submit)
        submitter.start()
        submitter.join(0.02)
        executor.shutdown(wait=False)
        submitter.join()
    assert refused == ["cannot schedule new futures after shutdown"]


def test_a_task_that_submits_to_its_own_full_executor_does_not_wait_for_itself() -> None:
    with triga.ThreadPoolExecutor(1, max_queue=1) as executor:
        futures = executor.submit(lambda: [executor.submit(int) for _ in range(5)]).result()
        assert [future.result() for future in futures] == [0] * 5


def test_ctrl_c_ends_the_wait_for_space() -> None:
    program = """
import os, signal, threading, triga
executor = triga.ThreadPoolExecutor(1, max_queue=1)
gate = threading.Event()
executor.submit(gate.wait)
try:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        executor.submit(int)
except KeyboardInterrupt:
    print("interrupted")
gate.set()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_tasks_run_in_a_copy_of_their_submitters_context() -> None:
    def look_and_set(value: str) -> str:
        seen = VARIABLE.get()
        VARIABLE.set(value)
        return seen

    with triga.ThreadPoolExecutor(1, copy_context=True) as executor:
        token = VARIABLE.set("mine")
        try:
            assert executor.submit(look_and_set, "changed").result() == "mine"
            assert executor.submit(look_and_set, value="again").result() == "mine"
            assert list(executor.map(look_and_set, "ab")) == ["mine", "mine"]
            assert executor.options(priority=1).submit(look_and_set, "x").result() == "mine"
            assert VARIABLE.get() == "mine"
        finally:
            VARIABLE.reset(token)
        assert executor.submit(look_and_set, "last").result() == "none"


def test_idle_workers_leave_and_come_back_under_new_names() -> None:
    before = triga.stats()["workers_left_idle"]
    with triga.ThreadPoolExecutor(2, thread_name_prefix="idle", idle_timeout=0.01) as executor:
        first = executor.submit(threading.current_thread).result()
        first.join()
        assert executor._threads == set()
        second = executor.submit(threading.current_thread).result()
        assert (first.name, second.name) == ("idle_0", "idle_1")
        second.join()
    assert triga.stats()["workers_left_idle"] == before + 2


def test_no_task_is_lost_to_workers_that_leave() -> None:
    with triga.ThreadPoolExecutor(3, idle_timeout=0.0001) as executor:
        futures = []
        for at in range(300):
            futures.append(executor.submit(pow, at, 2))
            if at % 10 == 0:
                time.sleep(0.0003)
        assert [future.result(30) for future in futures] == [at * at for at in range(300)]


def test_the_defaults_are_the_standard_librarys() -> None:
    parameters = inspect.signature(triga.ThreadPoolExecutor.__init__).parameters
    assert list(parameters)[:5] == ["self", "max_workers", "thread_name_prefix", "initializer", "initargs"]
    with triga.ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        assert executor._attendant is None


def test_an_executor_with_an_attendant_is_collected_and_a_program_with_one_ends() -> None:
    executor = triga.ThreadPoolExecutor(1)
    executor.options(deadline=3600).submit(int).result()
    attendant = executor._attendant
    assert attendant is not None
    del executor
    gc.collect()
    attendant.join(30)
    assert not attendant.is_alive()
    program = """
import triga
executor = triga.ThreadPoolExecutor(1, idle_timeout=30, max_queue=5, copy_context=True)
executor.options(deadline=3600).submit(print, "ran")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TRIGA": "threads"},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("ran\n", "", 0)
