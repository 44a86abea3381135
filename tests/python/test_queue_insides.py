"""What code outside may do to a queue's insides: hold its mutex, wait on its conditions, override its hooks."""

from __future__ import annotations

import queue
import random
import threading
import time
from typing import Any

import pytest

from tests.python.blocking import start, until


def test_holding_the_mutex_keeps_operations_out(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    done: list[str] = []
    with q.mutex:
        threads = [start(lambda: (q.put(1), done.append("put"))), start(lambda: (q.get(), done.append("get")))]
        time.sleep(0.05)
        assert (done, len(q.queue)) == ([], 0)
    for thread in threads:
        thread.join(20)
    assert sorted(done) == ["get", "put"]


def test_waiting_on_a_condition_of_the_queue(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    q.put(1)
    seen: list[bool] = []

    def wait() -> None:
        with q.all_tasks_done:
            while q.unfinished_tasks:
                seen.append(q.all_tasks_done.wait(20))

    thread = start(wait)
    until(lambda: len(q.all_tasks_done._waiters) == 1)
    q.get()
    q.task_done()
    thread.join(20)
    assert seen == [True]
    with q.all_tasks_done:
        assert q.all_tasks_done.wait(0.01) is False


def test_notifying_a_condition_wakes_a_blocked_get(backend: str) -> None:
    q: queue.Queue[str] = queue.Queue()
    got: list[str] = []
    thread = start(lambda: got.append(q.get()))
    until(lambda: len(q.not_empty._waiters) == 1)
    with q.not_empty:
        q.queue.append("by hand")
        q.not_empty.notify()
    thread.join(20)
    assert got == ["by hand"]


def test_a_mutex_shared_by_two_queues(backend: str) -> None:
    """The recipe for a common lock: replace the mutex, and make the conditions anew over it."""
    shared = threading.Lock()
    queues: list[queue.Queue[int]] = [queue.Queue(1), queue.Queue(1)]
    for q in queues:
        q.mutex = shared
        q.not_empty, q.not_full = threading.Condition(shared), threading.Condition(shared)
        q.all_tasks_done = threading.Condition(shared)
    got: list[int] = []
    thread = start(lambda: got.extend(queues[1].get() for _ in range(3)))
    for i in range(3):
        queues[1].put(i)
    thread.join(20)
    assert got == [0, 1, 2]
    with shared, pytest.raises(queue.Empty):
        queues[1].mutex.release()
        try:
            queues[1].get_nowait()
        finally:
            shared.acquire()


def test_replacing_the_mutex_under_a_blocked_get(backend: str) -> None:
    q: queue.Queue[int] = queue.Queue()
    got: list[int] = []
    thread = start(lambda: got.append(q.get(timeout=20)))
    until(lambda: len(q.not_empty._waiters) == 1)
    if backend == "triga":  # the standard get() stays on the old condition for ever
        q.not_empty = threading.Condition(q.mutex)
    q.put(7)
    thread.join(20)
    assert got == [7]


def test_hooks_of_a_subclass(backend: str) -> None:
    calls: list[str] = []

    class Unique(queue.Queue):  # type: ignore[type-arg]
        def _init(self, maxsize: int) -> None:
            calls.append(f"init {maxsize}")
            self.queue: Any = {}

        def _put(self, item: Any) -> None:
            assert self.mutex.locked()
            self.queue[item] = None

        def _get(self) -> Any:
            assert self.mutex.locked()
            return self.queue.popitem()[0]

    q = Unique(2)
    q.put("a")
    q.put("a")
    q.put("b")
    with pytest.raises(queue.Full):
        q.put("c", timeout=0.01)
    assert (q.qsize(), q.get(), q.get(), calls) == (2, "b", "a", ["init 2"])
    with pytest.raises(queue.Empty):
        q.get_nowait()


def test_put_nowait_and_get_nowait_go_through_overridden_methods(backend: str) -> None:
    class Logging(queue.Queue):  # type: ignore[type-arg]
        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            super().put((item, block), block, timeout)

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            return (super().get(block, timeout), block)

    q = Logging()
    q.put_nowait(1)
    assert q.get_nowait() == ((1, False), False)


def test_methods_assigned_on_class_and_instance_are_called(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    q: Any = queue.Queue()
    q.put(1)
    assert q.get() == 1
    q._put = lambda item: q.queue.append(("instance", item))
    q.put(1)
    assert q.get() == ("instance", 1)
    del q._put
    monkeypatch.setattr(queue.Queue, "_put", lambda self, item: self.queue.append(("class", item)))
    q.put(1)
    assert q.get() == ("class", 1)
    monkeypatch.undo()
    q.put(1)
    assert q.get() == 1
    monkeypatch.setattr(queue.Queue, "put", lambda self, item, block=True: self.queue.append(("put", item, block)))
    q.put_nowait(1)
    assert q.get() == ("put", 1, False)


def test_a_failing_hook_leaves_the_mutex_free(backend: str) -> None:
    class Failing(queue.Queue):  # type: ignore[type-arg]
        def _put(self, item: Any) -> None:
            raise ZeroDivisionError

    q = Failing()
    with pytest.raises(ZeroDivisionError):
        q.put(1)
    assert not q.mutex.locked()
    assert q.unfinished_tasks == 0
    p: queue.PriorityQueue[Any] = queue.PriorityQueue()
    p.put(1)
    with pytest.raises(TypeError):
        p.put("one")
    assert not p.mutex.locked()


def test_a_comparison_in_python_excludes_other_threads(backend: str) -> None:
    """Heapq's invariant would break if another put ran while a comparison lets go of the GIL."""

    class Slow:
        def __init__(self, value: int) -> None:
            self.value = value

        def __lt__(self, other: Slow) -> bool:
            time.sleep(0)
            return self.value < other.value

    q: queue.PriorityQueue[Slow] = queue.PriorityQueue()
    numbers = list(range(300))
    random.Random(5).shuffle(numbers)
    threads = [start(lambda part: [q.put(Slow(n)) for n in part], numbers[i::3]) for i in range(3)]
    for thread in threads:
        thread.join(20)
    assert [q.get().value for _ in numbers] == sorted(numbers)
