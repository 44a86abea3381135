"""threading's Condition, Event, Semaphore and BoundedSemaphore: native, and as the standard ones."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from typing import Any

import pytest

import triga
from tests.python.blocking import assert_ctrl_c_ends, start, until

NAMES = ["Condition", "Event", "Semaphore", "BoundedSemaphore"]


@pytest.mark.parametrize("name", NAMES)
def test_the_standard_class_still_accepts_native_objects(name: str) -> None:
    standard = getattr(threading, name)
    with triga.installed():
        native = getattr(threading, name)
        assert native is not standard
        assert isinstance(native(), standard)
        assert (native.__module__, native.__qualname__) == ("threading", name)
        assert issubclass(threading.BoundedSemaphore, threading.Semaphore)


def test_operations_are_counted_by_the_core() -> None:
    with triga.installed():
        before = triga.stats()["sync_operations"]
        event, semaphore, condition = threading.Event(), threading.Semaphore(), threading.Condition()
        event.set()
        event.wait()
        semaphore.acquire()
        semaphore.release()
        with condition:
            condition.notify()
            condition.wait(0)
        assert triga.stats()["sync_operations"] - before == 6


@pytest.mark.parametrize("lock", ["Lock", "RLock"])
def test_condition_over_each_lock(backend: str, lock: str) -> None:
    condition = threading.Condition(getattr(threading, lock)())
    with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
        condition.wait()
    with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
        condition.notify_all()
    woken: list[int] = []

    def wait(number: int) -> None:
        with condition:
            condition.wait()
            woken.append(number)

    for number in range(3):
        start(wait, number)
        until(lambda expected=number + 1: len(condition._waiters) == expected)
    for count in (1, 3):
        with condition:
            condition.notify()
        until(lambda expected=count: len(woken) == expected)
        with condition:
            condition.notify(2)
    until(lambda: len(woken) == 3)
    assert sorted(woken) == [0, 1, 2]
    assert woken[0] == 0
    assert repr(condition).startswith("<Condition(<unlocked _thread.")


def test_condition_over_a_lock_made_in_python(backend: str) -> None:
    class Lock:
        def __init__(self) -> None:
            self.calls: list[str] = []
            self.lock = threading.Lock()

        def acquire(self, *arguments: Any) -> bool:
            self.calls.append("acquire")
            return self.lock.acquire(*arguments)

        def release(self) -> None:
            self.calls.append("release")
            self.lock.release()

        def locked(self) -> bool:
            return self.lock.locked()

        def __enter__(self) -> bool:
            return self.acquire()

        def __exit__(self, *error: object) -> None:
            self.release()

    lock = Lock()
    condition = threading.Condition(lock)  # type: ignore[arg-type]
    with condition:
        assert condition.wait(0.001) is False
    # with: acquire; _is_owned: acquire(False); wait: release, acquire; end: release
    assert lock.calls == ["acquire", "acquire", "release", "acquire", "release"]


def test_condition_restores_a_recursive_lock(backend: str) -> None:
    condition = threading.Condition()
    with condition, condition, condition:
        assert condition.wait(0) is False
        assert condition._is_owned()  # type: ignore[attr-defined]
        thread = start(lambda: condition.acquire() and condition.release())
    thread.join(20)
    assert not thread.is_alive()


def test_notify_all_goes_through_an_overridden_notify(backend: str) -> None:
    class Counting(threading.Condition):
        notified = 0

        def notify(self, n: int = 1) -> None:
            Counting.notified += 1
            super().notify(n)

    condition = Counting()
    with condition:
        condition.notify_all()
    assert Counting.notified == 1


def test_wait_for(backend: str) -> None:
    condition = threading.Condition()
    state: list[int] = []

    def change() -> None:
        for i in range(3):
            with condition:
                state.append(i)
                condition.notify()

    with condition:
        thread = start(change)
        assert condition.wait_for(lambda: len(state) == 3, timeout=20)
        assert not condition.wait_for(lambda: len(state) == 4, timeout=0.01)
    thread.join(20)


def test_event(backend: str) -> None:
    event = threading.Event()
    assert (event.wait(0), event.wait(0.001), event.wait(-1), event.is_set()) == (False,) * 4
    assert repr(event).endswith(": unset>")
    assert repr(event).startswith("<threading.Event at 0x")
    results: list[bool] = []
    threads = [start(lambda: results.append(event.wait())) for _ in range(3)]
    until(lambda: len(event._cond._waiters) == 3)  # type: ignore[attr-defined]
    event.set()
    event.clear()
    for thread in threads:
        thread.join(20)
    assert results == [True] * 3  # though the flag was cleared again
    event.set()
    assert event.wait() is True
    with pytest.raises(TypeError):
        threading.Event().wait("soon")  # type: ignore[arg-type]


def test_holding_the_condition_of_an_event_keeps_set_out(backend: str) -> None:
    event: Any = threading.Event()
    with event._cond:
        thread = start(event.set)
        time.sleep(0.05)
        assert not event.is_set()
    thread.join(20)
    assert event.is_set()


def test_waiting_on_the_condition_of_an_event(backend: str) -> None:
    event: Any = threading.Event()
    seen: list[bool] = []

    def wait() -> None:
        with event._cond:
            seen.append(event._cond.wait(20))

    thread = start(wait)
    until(lambda: len(event._cond._waiters) == 1)
    event.set()
    thread.join(20)
    assert seen == [True]


def test_an_event_with_a_condition_of_the_programs_own(backend: str) -> None:
    event: Any = threading.Event()
    event._cond = threading.Condition(threading.RLock())
    with event._cond:
        event.set()  # does not deadlock: the lock is recursive
    assert event.wait(0) is True


def test_semaphore(backend: str) -> None:
    semaphore: Any = threading.Semaphore(2)
    assert (semaphore.acquire(), semaphore.acquire(False), semaphore.acquire(blocking=False)) == (True, True, False)
    assert (semaphore.acquire(timeout=0.001), semaphore.acquire(timeout=-1), semaphore._value) == (False, False, 0)
    semaphore.release(3)
    assert semaphore._value == 3
    with semaphore:
        assert semaphore._value == 2
    assert repr(semaphore).endswith(": value=3>")
    with pytest.raises(ValueError, match="can't specify timeout for non-blocking acquire"):
        semaphore.acquire(False, 1)
    with pytest.raises(ValueError, match="n must be one or more"):
        semaphore.release(0)
    with pytest.raises(ValueError, match="semaphore initial value must be >= 0"):
        threading.Semaphore(-1)


def test_bounded_semaphore(backend: str) -> None:
    semaphore: Any = threading.BoundedSemaphore(1)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        semaphore.release()
    with semaphore:
        assert not semaphore.acquire(False)
    assert repr(semaphore).endswith(": value=1/1>")
    assert semaphore._initial_value == 1


def test_a_semaphore_of_any_number(backend: str) -> None:
    unlimited: Any = threading.Semaphore(float("inf"))  # type: ignore[arg-type]
    assert all(unlimited.acquire() for _ in range(100))
    assert unlimited._value == float("inf")
    big: Any = threading.BoundedSemaphore(10**30)
    big.acquire()
    big.release()
    assert big._value == 10**30


def test_a_subclass_that_overrides_release(backend: str) -> None:
    class Counting(threading.Semaphore):
        def __init__(self) -> None:
            super().__init__(1)
            self.released = 0

        def release(self, n: int = 1) -> None:
            self.released += n
            super().release(n)

    semaphore = Counting()
    with semaphore:
        pass
    assert semaphore.released == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_cycle_is_collected(backend: str, name: str) -> None:
    thing: Any = getattr(threading, name)()
    thing.itself = thing
    if name != "Condition":
        assert thing._cond
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("seed", [1, 2])
def test_stress_semaphore_and_condition(backend: str, seed: int) -> None:
    """No permit is lost or made up under random timeouts, and everyone gets through."""
    semaphore: Any = threading.BoundedSemaphore(2)
    condition = threading.Condition()
    inside, most, turns = [0], [0], [0]

    def work(number: int) -> None:
        rnd = random.Random(seed * 10 + number)
        for _ in range(300):
            while not semaphore.acquire(timeout=rnd.choice([None, 0.001, 1e-6])):
                pass
            with condition:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            if rnd.random() < 0.1:
                time.sleep(0)
            with condition:
                inside[0] -= 1
                turns[0] += 1
                condition.notify_all()
            semaphore.release()

    threads = [start(work, n) for n in range(4)]
    with condition:
        assert condition.wait_for(lambda: turns[0] == 1200, timeout=60)
    for thread in threads:
        thread.join(20)
    assert (semaphore._value, inside[0]) == (2, 0)
    assert most[0] <= 2


BLOCKED = {
    "Event.wait": "threading.Event().wait()",
    "Event.wait with timeout": "threading.Event().wait(30)",
    "Semaphore.acquire": "threading.Semaphore(0).acquire()",
    "Condition.wait": "c = threading.Condition(); c.acquire(); c.wait(30)",
    "Barrier.wait": "threading.Barrier(2).wait()",
}


@pytest.mark.parametrize("blocked", BLOCKED)
def test_ctrl_c_ends_a_blocked_call(blocked: str) -> None:
    assert_ctrl_c_ends(BLOCKED[blocked])
