"""multiprocessing.pool.ThreadPool: calls of one item each, which workers share."""

from __future__ import annotations

import multiprocessing
import multiprocessing.dummy
import multiprocessing.pool
import queue
import threading
from typing import Any

import pytest

import triga
from tests.python.test_thread_pool import failing


def test_an_item_that_takes_long_keeps_no_other_from_its_turn(pool: Any) -> None:
    gate = threading.Event()
    seen: list[int] = []

    def call(number: int) -> int:
        if number == 0:
            assert gate.wait(30)
        seen.append(number)
        if len(seen) == 49:
            gate.set()
        return number

    assert pool.map(call, range(50), chunksize=1) == list(range(50))
    assert seen[-1] == 0
    gate.clear()
    seen.clear()
    assert list(pool.imap_unordered(call, range(50)))[-1] == 0


def test_results_of_any_kind_come_through_unordered(pool: Any) -> None:
    odd = [
        None,
        ...,
        ValueError("a result"),
        Exception,
        queue.SimpleQueue(),
        pool.apply_async(abs, (1,)),
        StopIteration(),
    ]
    got = list(pool.imap_unordered(lambda item: item, odd))
    assert sorted(map(id, got)) == sorted(map(id, odd))


def test_unordered_results_go_on_after_an_exception(pool: Any) -> None:
    results = pool.imap_unordered(failing, range(6))
    got: list[Any] = []
    for _ in range(6):
        try:
            got.append(next(results))
        except ValueError as error:
            got.append(str(error))
    assert sorted(map(str, got)) == ["0", "1", "2", "4", "5", "not 3"]
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(results)


def test_many_threads_may_take_unordered_results(pool: Any, backend: str) -> None:
    if backend == "stdlib":
        pytest.skip("the standard library wakes one of those that wait at the end, and the others sleep for ever")
    results = pool.imap_unordered(abs, range(5000))
    got: list[int] = []
    takers = [threading.Thread(target=lambda: got.extend(results), daemon=True) for _ in range(4)]
    for each in takers:
        each.start()
    for each in takers:
        each.join(30)
    assert not any(each.is_alive() for each in takers)
    assert sorted(got) == list(range(5000))


def test_unordered_results_are_there_while_the_rest_is_to_come(pool: Any) -> None:
    gate = threading.Event()
    results = pool.imap_unordered(lambda number: number if number < 2 else gate.wait(30), range(5))
    assert {results.next(30), results.next(30)} == {0, 1}
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(0.01)
    gate.set()
    assert [results.next(30) for _ in range(3)] == [True] * 3
    with pytest.raises(StopIteration):
        results.next(0)


def test_a_range_of_any_length_is_not_read_at_once() -> None:
    with triga.installed(), multiprocessing.pool.ThreadPool(3) as pool:
        results = pool.imap_unordered(abs, range(10**12))
        assert next(results) < 10**6
        pool.terminate()


@pytest.mark.parametrize("way", ["map_async", "imap_unordered"])
def test_terminating_a_native_pool_fails_the_items_that_have_not_begun(way: str) -> None:
    with triga.installed(), multiprocessing.pool.ThreadPool(2) as pool:
        began, gate = threading.Barrier(3), threading.Event()

        def call(number: int) -> int:
            began.wait(30)
            gate.wait(30)
            return number

        results = getattr(pool, way)(call, range(100), 1)
        began.wait(30)  # two items have
        pool.terminate()
        gate.set()
        pool.join()
        if way == "map_async":
            with pytest.raises(Exception, match="terminated before the task had begun"):
                results.get(30)
            return
        good, bad = 0, 0
        for _ in range(100):
            try:
                assert results.next(30) in (0, 1)
                good += 1
            except Exception as error:
                assert "terminated before the task had begun" in str(error)
                bad += 1
        assert (good, bad) == (2, 98)
        with pytest.raises(StopIteration):
            results.next(30)


def test_a_map_of_a_function_in_c_lets_other_threads_run(pool: Any) -> None:
    turns, over = [0], threading.Event()

    def count() -> None:
        while not over.is_set():
            turns[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    pool.map(sum, [range(1000)] * 5000, chunksize=1)
    over.set()
    thread.join()
    assert turns[0] > 1
