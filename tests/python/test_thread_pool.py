"""multiprocessing.pool.ThreadPool and multiprocessing.dummy."""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.dummy
import multiprocessing.pool
import operator
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import triga
from tests.python.test_threads import run_program


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def broken_numbers(count: int) -> Iterator[int]:
    yield from range(count)
    raise LookupError("no more numbers")


def failing(number: int) -> int:
    if number == 3:
        raise ValueError(f"not {number}")
    return number


def outcomes(results: Iterator[Any]) -> list[str]:
    got = []
    while True:
        try:
            got.append(str(next(results)))
        except StopIteration:
            return got
        except LookupError as error:
            got.append(error.args[0])


def test_the_native_pool_runs_the_tasks() -> None:
    with triga.installed(), multiprocessing.dummy.Pool(2) as made:
        before = triga.stats()["tasks_run"]
        assert made.map(abs, range(-10, 0), chunksize=1) == list(range(10, 0, -1))
        assert made.apply(abs, (-1,)) == 1
        # A worker's part in a map is a task, too.
        assert before + 11 < triga.stats()["tasks_run"] <= before + 13


def test_every_way_to_call(pool: Any) -> None:
    assert pool.apply(operator.add, (1, 2)) == 3
    assert pool.apply(dict, (), {"a": 1}) == {"a": 1}
    assert pool.apply_async(operator.add, (1, 2)).get(30) == 3
    for chunksize in (None, 1, 4):
        assert pool.map(abs, range(-10, 0), chunksize) == list(range(10, 0, -1))
        assert pool.starmap(operator.sub, [(3, 1), (5, 2)], chunksize) == [2, 3]
        assert pool.map_async(abs, numbers(10), chunksize).get(30) == list(range(10))
        assert pool.starmap_async(operator.sub, [(3, 1)], chunksize).get(30) == [2]
    for chunksize in (1, 4):
        assert list(pool.imap(abs, range(-10, 0), chunksize)) == list(range(10, 0, -1))
        assert sorted(pool.imap_unordered(abs, numbers(10), chunksize)) == list(range(10))
    assert pool.map(abs, []) == []
    assert list(pool.imap(abs, [])) == list(pool.imap_unordered(abs, [])) == []
    assert list(pool.imap(abs, range(5000))) == list(range(5000))
    assert sorted(pool.imap_unordered(abs, range(5000))) == list(range(5000))


def test_exceptions_of_tasks_and_of_iterables(pool: Any) -> None:
    for result in (pool.apply_async(failing, (3,)), pool.map_async(failing, range(5), 1)):
        result.wait(30)
        assert result.ready() and not result.successful()
        with pytest.raises(ValueError, match="not 3") as caught:
            result.get()
        assert caught.traceback[-1].name == "failing"
    results = pool.imap(failing, range(5))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="not 3"):
        next(results)
    assert list(results) == [4]
    assert outcomes(pool.imap(abs, broken_numbers(2))) == ["0", "1", "no more numbers"]
    assert sorted(outcomes(pool.imap_unordered(abs, broken_numbers(2)))) == ["0", "1", "no more numbers"]
    with pytest.raises(LookupError):
        pool.map(abs, broken_numbers(2))
    with pytest.raises(ValueError, match=r"Chunksize must be 1\+"):
        pool.imap(abs, [], 0)


def stopping(number: int) -> int:
    if number == 3:
        raise StopIteration
    return number


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_stop_iteration_ends_a_chunk_without_an_error(kind: Any) -> None:
    # A chunk is list(map(func, chunk)), which it ends; one call for each item has to look the same. The original leaves
    # None in some of the places.
    with triga.installed(), multiprocessing.pool.ThreadPool(2) as made:
        assert made.map(stopping, kind(range(6)), chunksize=1) == [0, 1, 2, 4, 5]
        assert made.map(stopping, kind(range(6)), chunksize=2) == [0, 1, 2, 4, 5]
    made.join()


def test_timeouts(pool: Any) -> None:
    gate = threading.Event()
    result, results = pool.apply_async(gate.wait), pool.imap(lambda _: gate.wait(), [1])
    unordered = pool.imap_unordered(lambda _: gate.wait(), [1])
    result.wait(0.01)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    for get in (result.get, results.next, unordered.next):
        with pytest.raises(multiprocessing.TimeoutError):
            get(timeout=0.01)
    gate.set()
    assert result.get(30) is results.next(timeout=30) is unordered.next(timeout=30) is True
    assert result.successful()
    for each in (results, unordered):
        with pytest.raises(StopIteration):
            each.next(timeout=30)


def test_callbacks_run_one_after_the_other_before_the_result_is_there(pool: Any) -> None:
    seen: list[Any] = []
    threads = set()

    def note(value: Any) -> None:
        threads.add(threading.current_thread())
        seen.append(value)

    for number in range(20):
        pool.apply_async(abs, (number,), callback=note).wait(30)
    assert seen == list(range(20))
    assert len(threads) == 1 and not threads & set(pool._pool)
    seen.clear()
    assert pool.map_async(abs, range(4), 1, callback=note).get(30) == [0, 1, 2, 3]
    assert pool.starmap_async(operator.add, [(1, 2)], callback=note).get(30) == [3]
    for result in (
        pool.apply_async(failing, (3,), error_callback=note),
        pool.map_async(failing, range(4), error_callback=note),
    ):
        with pytest.raises(ValueError, match="not 3"):
            result.get(30)
    assert pool.map_async(abs, [], callback=note).get(30) == []
    assert seen[:2] == [[0, 1, 2, 3], [3]]
    assert [str(error) for error in seen[2:]] == ["not 3", "not 3"]


def test_a_callback_may_wait_for_another_task(backend: str) -> None:
    done = threading.Event()
    with multiprocessing.pool.ThreadPool(1) as pool:
        result = pool.apply_async(int, callback=lambda _: done.wait(30))
        pool.apply_async(done.set)
        assert result.get(30) == 0
    pool.join()


def test_initializer_workers_and_life(backend: str) -> None:
    local = threading.local()

    def initialize(value: int) -> None:
        local.value = value

    pool = multiprocessing.pool.ThreadPool(2, initialize, (7,))
    assert "RUN" in repr(pool) and "pool_size=2" in repr(pool)
    assert len(pool._pool) == pool._processes == 2
    assert all(thread.daemon and thread.is_alive() for thread in pool._pool)
    assert pool.map(lambda _: local.value, range(4)) == [7] * 4
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    late = [pool.apply_async(abs, (n,)) for n in range(50)]
    lazy = pool.imap(abs, numbers(2000))
    pool.close()
    for call in (lambda: pool.apply(abs, (1,)), lambda: pool.imap(abs, []), lambda: pool.map(abs, [1])):
        with pytest.raises(ValueError, match="Pool not running"):
            call()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.__enter__()
    pool.join()
    pool.join()
    assert [result.get() for result in late] == list(range(50))
    assert list(lazy) == list(range(2000))
    assert not any(thread.is_alive() for thread in pool._pool)
    with pytest.raises(NotImplementedError):
        pool.__reduce__()


@pytest.mark.parametrize(
    ("arguments", "error"), [((0,), ValueError), ((-1,), ValueError), ((1, "no function"), TypeError)]
)
def test_bad_arguments(backend: str, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        multiprocessing.pool.ThreadPool(*arguments)


def test_terminate_lets_the_running_task_end_and_runs_no_other() -> None:
    # The standard library's result of a task that never began is never ready; ours says what happened.
    with triga.installed():
        begun, gate, ran = threading.Event(), threading.Event(), []
        pool = multiprocessing.pool.ThreadPool(1)
        first = pool.apply_async(lambda: (begun.set(), gate.wait()))
        second = pool.apply_async(ran.append, (1,), callback=ran.append, error_callback=ran.append)
        results = pool.imap(ran.append, iter(range(10)))
        assert begun.wait(30)
        pool.terminate()
        gate.set()
        pool.join()
        assert first.get() == (None, True)
        with pytest.raises(multiprocessing.ProcessError, match="terminated"):
            second.get(30)
        with pytest.raises((multiprocessing.ProcessError, ValueError)):
            list(results)
        assert ran == []


def test_a_failing_initializer_fails_the_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    # The standard library starts threads for ever that all fail, and get() waits for ever.
    with triga.installed(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: None)
        pool = multiprocessing.pool.ThreadPool(2, failing, (3,))
        results = [pool.apply_async(int) for _ in range(3)]
        for thread in pool._pool:
            thread.join(30)
        results.append(pool.apply_async(int))
        for result in results[-1:]:
            with pytest.raises(RuntimeError, match="initializer"):
                result.get(30)
        pool.close()
        pool.join()


def test_a_pool_that_is_dropped_finishes_what_was_asked_for() -> None:
    # As in the standard library, whose pool says that it is unclosed only when its last result is there.
    with triga.installed():
        gate, done = threading.Event(), queue.SimpleQueue[int]()
        pool = multiprocessing.pool.ThreadPool(1)
        pool.apply_async(gate.wait)
        for number in range(5):
            pool.apply_async(done.put, (number,))
        with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
            del pool
            gc.collect()
        gate.set()
        assert [done.get(timeout=30) for _ in range(5)] == list(range(5))


def test_exit_does_not_wait_for_a_pool() -> None:
    done = run_program(
        "import multiprocessing.pool, threading, time\n"
        "pool = multiprocessing.pool.ThreadPool(2)\n"
        "for i in range(10): pool.apply_async(threading.Event().wait)\n"
        "print(pool.apply_async.__self__ is pool)\n",
        "-W",
        "ignore",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_subclass_that_brings_its_own_machinery_runs_on_the_standard_librarys() -> None:
    with triga.installed():
        stock = next(each for each in multiprocessing.pool.ThreadPool.__mro__[1:] if each.__name__ == "ThreadPool")

        class Own(multiprocessing.pool.ThreadPool):
            puts = 0

            def _setup_queues(self) -> None:
                super()._setup_queues()  # type: ignore[misc]
                put = self._inqueue.put  # type: ignore[attr-defined]

                def counted(item: Any) -> None:
                    Own.puts += 1
                    put(item)

                self._quick_put = counted

        before = triga.stats()["tasks_run"]
        with Own(2) as pool:
            assert pool.map(abs, [-1, -2], chunksize=1) == [1, 2]
            assert list(pool.imap(abs, [-1])) == list(pool.imap_unordered(abs, [-1])) == [1]
        pool.join()
        assert Own.puts >= 4
        assert triga.stats()["tasks_run"] == before
        assert isinstance(pool, stock)

        class Plain(multiprocessing.pool.ThreadPool):
            def apply_async(self, func: Any, *rest: Any, **more: Any) -> Any:
                return super().apply_async(func, *rest, **more)

        with Plain(1) as plain:
            assert plain.apply(abs, (-1,)) == 1
        assert triga.stats()["tasks_run"] == before + 1


def test_dummy_has_the_native_classes_and_gets_its_own_back() -> None:
    before = {name: getattr(multiprocessing.dummy, name) for name in multiprocessing.dummy.__all__}
    with triga.installed():
        assert multiprocessing.dummy.Queue is multiprocessing.dummy.JoinableQueue is queue.Queue
        assert multiprocessing.dummy.Event is threading.Event
        assert multiprocessing.dummy.connection.Queue is queue.Queue  # type: ignore[attr-defined]
    assert {name: getattr(multiprocessing.dummy, name) for name in multiprocessing.dummy.__all__} == before


@pytest.mark.parametrize("first", ["triga.install()", "import multiprocessing.dummy"])
def test_dummy_is_the_same_whenever_it_is_imported(first: str) -> None:
    code = (
        f"import triga; {first}; triga.install(); import multiprocessing.dummy as d, queue, threading\n"
        "print(d.Queue is queue.Queue, d.Semaphore is threading.Semaphore, type(d.Pipe()[0]._in) is queue.Queue)\n"
        "triga.uninstall(); print(d.Queue is queue.Queue, d.Queue.__module__, triga._core.Queue in d.Queue.__mro__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True True True\nTrue queue False\n", "")


def test_dummy_processes_are_threads(backend: str) -> None:
    here, there = multiprocessing.dummy.Pipe()
    process = multiprocessing.dummy.Process(target=lambda: there.send(there.recv() + 1))
    process.start()
    assert process in multiprocessing.dummy.active_children()
    here.send(1)
    assert here.recv() == 2
    process.join(30)
    assert process.exitcode == 0
    assert process not in multiprocessing.dummy.active_children()


def test_a_result_with_a_callback_is_gone_with_its_last_reference(backend: str) -> None:
    with multiprocessing.pool.ThreadPool(1) as pool:
        gc.collect()
        gc.disable()
        try:
            result = pool.apply_async(abs, (-1,), callback=int)
            gone = weakref.ref(result)
            assert result.get(30) == 1
            del result
            pool.close()
            pool.join()  # the results handler lets go of it
            assert gone() is None
        finally:
            gc.enable()
