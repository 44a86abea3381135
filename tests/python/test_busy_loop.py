"""A loop that always has something to run."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial
from typing import Any

import pytest


def keep_busy(loop: Any) -> None:
    """Queues a callback that queues itself, with no line of Python in it."""
    again = partial(loop.call_soon)
    again.__setstate__((loop.call_soon, (again,), {}, {}))
    loop.call_soon(again)


def test_callbacks_in_c_let_other_threads_run(loop: Any) -> None:
    def sleep_and_stop() -> None:
        for _ in range(20):
            time.sleep(0.001)
        loop.call_soon_threadsafe(loop.stop)

    keep_busy(loop)
    thread = threading.Thread(target=sleep_and_stop, daemon=True)
    thread.start()
    loop.run_forever()
    thread.join(30)
    assert not thread.is_alive()


def test_timers_come_due_beside_callbacks_in_c(loop: Any, native: bool) -> None:
    keep_busy(loop)
    due: list[float] = []
    handle = loop.call_later(0.01, lambda: due.append(loop.time()))
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert len(due) == 1
    if native:  # asyncio's own may be early by its clock's resolution
        assert due[0] >= handle.when()


def test_a_signal_interrupts_callbacks_in_c(loop: Any) -> None:
    keep_busy(loop)
    timer = threading.Timer(0.02, signal.raise_signal, [signal.SIGINT])
    timer.daemon = True
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    timer.join(30)


def test_other_threads_callbacks_are_run_beside_callbacks_in_c(loop: Any) -> None:
    keep_busy(loop)
    got: list[int] = []

    def call() -> None:
        for number in range(1000):
            loop.call_soon_threadsafe(got.append, number)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    loop.run_forever()
    thread.join(30)
    assert got == list(range(1000))
