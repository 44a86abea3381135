"""Module queue: the native classes do what the standard ones do, and do it in the core."""

from __future__ import annotations

import gc
import importlib
import queue
import random
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import triga
from tests.python.blocking import start, until

CLASSES = ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"]
WITH_TASKS = CLASSES[:3]
HAS_SHUTDOWN = hasattr(queue.Queue, "shutdown")


def operations() -> int:
    return triga.stats()["queue_operations"]


@pytest.mark.parametrize("name", CLASSES)
def test_puts_and_gets_run_in_the_core(name: str) -> None:
    with triga.installed():
        q = getattr(queue, name)()
        before = operations()
        for i in range(10):
            q.put(i)
        assert sorted(q.get() for _ in range(10)) == list(range(10))
        assert operations() - before == 20


@pytest.mark.parametrize("name", WITH_TASKS)
def test_the_standard_class_still_accepts_native_queues(name: str) -> None:
    standard = getattr(queue, name)
    with triga.installed():
        native = getattr(queue, name)
        assert native is not standard
        assert isinstance(native(), standard)
        assert isinstance(native(), queue.Queue)
        assert (native.__module__, native.__qualname__) == ("queue", name)


def test_a_fresh_copy_of_the_module_is_native_and_raises_its_own_exceptions() -> None:
    with triga.installed():
        saved = {name: sys.modules.pop(name) for name in ("queue", "_queue") if name in sys.modules}
        try:
            fresh = importlib.import_module("queue")
        finally:
            sys.modules.update(saved)
        before = operations()
        for name in CLASSES:
            q = getattr(fresh, name)()
            q.put(1)
            q.get()
            with pytest.raises(fresh.Empty):
                q.get_nowait()
        assert operations() - before == 8
        assert fresh.Empty is not queue.Empty
        with pytest.raises(fresh.Full):
            q = fresh.Queue(1)
            q.put(1)
            q.put(2, timeout=0)


def test_without_the_c_module_the_copy_is_native_too() -> None:
    with triga.installed():
        saved = {name: sys.modules.pop(name) for name in ("queue", "_queue") if name in sys.modules}
        sys.modules["_queue"] = None  # type: ignore[assignment]
        try:
            copy = importlib.import_module("queue")
        finally:
            del sys.modules["_queue"]
            sys.modules.update(saved)
        q = copy.SimpleQueue()
        before = operations()
        q.put(1)
        assert q.get() == 1
        assert operations() - before == 2
        assert copy.Empty.__module__ == "queue"
        with pytest.raises(copy.Empty):
            q.get(timeout=0.001)


@pytest.mark.parametrize("name", CLASSES)
def test_argument_errors_read_as_in_the_original(backend: str, name: str) -> None:
    q = getattr(queue, name)()
    with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
        q.get(timeout=-0.1)
    with pytest.raises(TypeError):
        q.get(timeout="soon")
    with pytest.raises(TypeError):
        q.put()
    with pytest.raises(TypeError):
        q.put(1, True, None, 1)
    with pytest.raises(TypeError):
        q.get(wait=True)
    if backend == "triga" or name == "SimpleQueue":  # the standard Queue.get() spins for ever before 3.15
        with pytest.raises(ValueError):
            q.get(timeout=float("nan"))
    with pytest.raises(OverflowError):
        q.get(timeout=1e300)


def test_missing_and_unexpected_arguments_are_named(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    with pytest.raises(TypeError, match=r"Queue\.put\(\) missing 1 required positional argument: 'item'"):
        q.put()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Queue\.put\(\) got an unexpected keyword argument 'wait'"):
        q.put(1, wait=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Queue\.get\(\) takes from 1 to 3 positional arguments but 4 were given"):
        q.get(1, 2, 3)  # type: ignore[call-arg,arg-type]
    with pytest.raises(TypeError, match=r"Queue\.get\(\) got multiple values for argument 'block'"):
        q.get(True, block=True)  # type: ignore[call-overload]


@pytest.mark.parametrize("maxsize", [0, -3, 2, 2.0, 1.5, float("inf"), float("nan"), 10**30, True])
def test_maxsize_may_be_any_number(backend: str, maxsize: Any) -> None:
    q: queue.Queue[int] = queue.Queue(maxsize)
    assert q.maxsize is maxsize
    room = 0
    while room < 5 and not q.full():
        q.put_nowait(room)
        room += 1
    expected = 5 if not 0 < maxsize < 5 else {True: 1}.get(maxsize, 2)
    assert room == expected


def test_a_maxsize_that_cannot_be_compared_fails_at_put(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'>' not supported between instances of 'NoneType' and 'int'"):
        q.put(1)
    assert not q.mutex.locked()


def test_attributes_are_the_real_things(backend: str) -> None:
    q: queue.Queue[Any] = queue.Queue(3)
    q.put("a")
    assert q.queue == deque(["a"])
    q.queue.appendleft("b")
    assert (q.get(), q.unfinished_tasks) == ("b", 1)
    q.queue.clear()
    assert q.empty()
    q.unfinished_tasks = 0
    q.join()
    assert type(q.mutex) is type(threading.Lock())
    assert q.not_empty is q.not_empty
    for condition in (q.not_empty, q.not_full, q.all_tasks_done):
        assert isinstance(condition, threading.Condition)
    assert type(queue.LifoQueue().queue) is list
    assert hasattr(q, "shutdown") == hasattr(q, "is_shutdown") == HAS_SHUTDOWN


def test_an_uninitialised_queue_is_an_attribute_error(backend: str) -> None:
    class Forgetful(queue.Queue):  # type: ignore[type-arg]
        def __init__(self) -> None:
            pass

    for use in (lambda q: q.put(1), lambda q: q.get(), lambda q: q.qsize(), lambda q: q.join(), lambda q: q.queue):
        with pytest.raises(AttributeError):
            use(Forgetful())


@pytest.mark.parametrize("name", CLASSES)
def test_items_are_freed_as_soon_as_they_are_got(backend: str, name: str) -> None:
    class Item:
        def __lt__(self, other: Item) -> bool:
            return id(self) < id(other)

    q = getattr(queue, name)()
    for _ in range(20):
        q.put(Item())
    for _ in range(20):
        item = weakref.ref(q.get())
        assert item() is None


@pytest.mark.parametrize("name", CLASSES)
def test_a_cycle_through_a_queue_is_collected(backend: str, name: str) -> None:
    q = getattr(queue, name)()
    q.put(q)
    if name != "SimpleQueue":
        assert q.not_empty  # made by being asked for, and it refers to the queue
    gone = weakref.ref(q)
    del q
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["Queue", "LifoQueue", "SimpleQueue"])
def test_put_is_reentrant_from_a_finalizer(name: str) -> None:
    """Gc may run at any allocation inside put(): a destructor that puts must neither deadlock nor lose an item."""
    with triga.installed():
        q = getattr(queue, name)()
        numbers = iter(range(1_000_000))

        class Circular:
            def __init__(self) -> None:
                self.circular = self

            def __del__(self) -> None:
                q.put(next(numbers))

        results = []
        while len(results) < 3000:
            Circular()
            q.put(next(numbers))
            results.append(q.get())
        while not q.empty():
            results.append(q.get())
        assert len(set(results)) == len(results)


@pytest.mark.parametrize("name", CLASSES)
def test_queues_refuse_pickling_and_take_attributes(backend: str, name: str) -> None:
    import pickle

    q = getattr(queue, name)()
    with pytest.raises(TypeError):
        pickle.dumps(q)
    assert getattr(queue, name)[int] == type(q)[int]
    if name != "SimpleQueue":
        q.note = 1
        assert q.__dict__["note"] == 1


@pytest.mark.skipif(not HAS_SHUTDOWN, reason="Queue.shutdown() is new in 3.13")
def test_shutdown_wakes_everybody(backend: str) -> None:
    q: Any = queue.Queue(1)
    errors: list[type] = []

    def fails(call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            errors.append(type(error))

    threads = [start(fails, q.get) for _ in range(3)]
    until(lambda: len(q.not_empty._waiters) == 3)
    q.shutdown()
    for thread in threads:
        thread.join(20)
    assert errors == [queue.ShutDown] * 3  # type: ignore[attr-defined]
    assert q.is_shutdown is True


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("seed", [1, 2])
def test_stress_many_producers_and_consumers(backend: str, name: str, seed: int) -> None:
    """Bounded and not, blocking and with timeouts: every item arrives once, and every wait ends."""
    random_ = random.Random(seed)
    limit = random_.choice([0, 1, 5])
    q = getattr(queue, name)(*([limit] if name != "SimpleQueue" else []))
    producers, consumers, each = 3, 3, 500
    got: list[list[int]] = [[] for _ in range(consumers)]

    def produce(number: int) -> None:
        rnd = random.Random(seed * 100 + number)
        for i in range(each):
            item = i * producers + number
            while True:
                try:
                    q.put(item, timeout=rnd.choice([None, 0.001, 1e-6]))
                    break
                except queue.Full:
                    pass

    def consume(number: int) -> None:
        rnd = random.Random(seed * 200 + number)
        while True:
            try:
                item = q.get(timeout=rnd.choice([None, 0.001, 1e-6]))
            except queue.Empty:
                continue
            if name != "SimpleQueue":
                q.task_done()
            if item >= 10**9:
                return
            got[number].append(item)

    consuming = [start(consume, n) for n in range(consumers)]
    producing = [start(produce, n) for n in range(producers)]
    for thread in producing:
        thread.join(60)
        assert not thread.is_alive()
    if name == "LifoQueue":  # a stop mark must not overtake
        until(q.empty)
    for i in range(consumers):
        q.put(10**9 + i)
    for thread in consuming:
        thread.join(60)
        assert not thread.is_alive()
    if name != "SimpleQueue":
        q.join()
    assert sorted(item for part in got for item in part) == list(range(producers * each))
    assert q.empty()
