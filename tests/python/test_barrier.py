"""threading's Barrier: native parts under the standard behaviour."""

from __future__ import annotations

import threading
import time

from tests.python.blocking import run, start


def test_barrier_over_the_native_condition(backend: str) -> None:
    barrier = threading.Barrier(3, timeout=20)
    numbers: list[int] = []
    threads = [start(lambda: [numbers.append(barrier.wait()) for _ in range(50)]) for _ in range(3)]
    for thread in threads:
        thread.join(30)
    assert sorted(numbers) == [0] * 50 + [1] * 50 + [2] * 50


def test_barrier_reset_abort_and_timeout(backend: str) -> None:
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def wait(timeout: float | None = None) -> None:
        try:
            outcomes.append(str(barrier.wait(timeout)))
        except threading.BrokenBarrierError:
            outcomes.append("broken")

    def until_one_waits() -> None:
        while barrier.n_waiting == 0:
            time.sleep(0)

    for end, broken in ((barrier.reset, False), (barrier.abort, True)):
        thread = start(wait)
        until_one_waits()
        end()
        thread.join(20)
        assert outcomes.pop() == "broken"
        assert barrier.broken is broken
    wait()
    assert outcomes.pop() == "broken"
    barrier.reset()
    wait(0.01)
    assert (outcomes.pop(), barrier.broken, barrier.n_waiting) == ("broken", True, 0)
    barrier.reset()
    thread = start(wait)
    until_one_waits()
    wait()
    thread.join(20)
    assert sorted(outcomes) == ["0", "1"]


def test_barrier_action_runs_once_a_round_and_breaks_it_if_it_raises(backend: str) -> None:
    rounds: list[int] = []

    def action() -> None:
        rounds.append(barrier.n_waiting)
        if len(rounds) == 3:
            raise LookupError

    barrier = threading.Barrier(2, action, timeout=20)
    ended: list[str] = []

    def meet() -> None:
        try:
            for _ in range(5):
                barrier.wait()
        except (LookupError, threading.BrokenBarrierError) as error:
            ended.append(type(error).__name__)

    threads = [start(meet) for _ in range(2)]
    for thread in threads:
        thread.join(30)
    assert (rounds, sorted(ended)) == ([2, 2, 2], ["BrokenBarrierError", "LookupError"])


def test_barrier_between_processes_keeps_its_own_state() -> None:
    # It derives from threading's and never calls its __init__: its count and state are in shared memory.
    done = run(
        "import multiprocessing, threading\n"
        "barrier = multiprocessing.get_context('fork').Barrier(2)\n"
        "assert isinstance(barrier, threading.Barrier)\n"
        "def meet():\n"
        "    for _ in range(20): barrier.wait(20)\n"
        "child = multiprocessing.get_context('fork').Process(target=meet)\n"
        "child.start(); meet(); child.join(); print(child.exitcode, barrier.n_waiting)\n"
    )
    assert (done.stdout, done.stderr) == ("0 0\n", "")
