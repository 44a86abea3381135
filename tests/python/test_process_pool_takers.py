"""A process pool's results, taken by several threads at once."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import triga

TAKERS = 4


@pytest.fixture(scope="module")
def pool() -> Iterator[Any]:
    with triga.installed(), multiprocessing.get_context("spawn").Pool(3) as made:
        yield made
        made.close()
        made.join()


@pytest.fixture(autouse=True)
def often_interrupted() -> Iterator[None]:
    """Threads are switched between any two steps."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(take: Callable[[], object]) -> list[object]:
    """What TAKERS threads got, or the exceptions that they met."""
    got: list[object] = []

    def run() -> None:
        try:
            got.append(take())
        except BaseException as error:
            got.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(TAKERS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert not any(each.is_alive() for each in threads)
    return got


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_each_result_goes_to_one_of_the_threads_that_iterate(pool: Any, method: str) -> None:
    """Where the standard library's leaves some of them asleep for ever, or raises TimeoutError in them."""
    for _ in range(200):
        results = getattr(pool, method)(abs, range(60))
        taken: list[int] = []
        assert in_threads(partial(taken.extend, results)) == [None] * TAKERS
        assert sorted(taken) == list(range(60))


def wait_for(path: Path) -> int:
    while not path.exists():
        time.sleep(0.001)
    return 5


def test_a_wait_for_a_result_that_another_thread_takes_keeps_its_time(pool: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    results = pool.imap(wait_for, [gate])
    ended = in_threads(lambda: results.next(0.05))
    assert all(isinstance(error, multiprocessing.TimeoutError) for error in ended)
    gate.touch()
    ended = in_threads(lambda: results.next(30))
    assert ended.count(5) == 1
    assert sum(isinstance(error, StopIteration) for error in ended) == TAKERS - 1


def test_get_gives_the_same_to_every_thread(pool: Any) -> None:
    for _ in range(50):
        mapped, applied = pool.map_async(abs, range(20), chunksize=3), pool.apply_async(abs, (-7,))
        assert in_threads(mapped.get) == [list(range(20))] * TAKERS
        assert in_threads(applied.get) == [7] * TAKERS
