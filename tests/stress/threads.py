"""Mixed work of executors, thread pools, threads, queues and futures.

With random cancels, exceptions, nested submits, forks and shutdowns; standard names only, so that it runs on the
standard library and on triga.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool
import os
import queue
import random
import threading
import warnings
from typing import TYPE_CHECKING, Any

from tests.stress.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

# Python 3.12 and later warn of a fork beside threads, which is what is tried here.
warnings.filterwarnings("ignore", "This process", DeprecationWarning)


class Refused(Exception):
    """What a failing task raises."""


class Stress:
    """One run. ``tally`` has what happened."""

    def __init__(self, seed: int, tasks: int) -> None:
        self.tally = Tally()
        self._random = random.Random(seed)
        self._tasks = tasks
        self._executor = self._new_executor()
        self._inner = concurrent.futures.ThreadPoolExecutor(2)  # for nested submits: its tasks never wait
        self._pool = multiprocessing.pool.ThreadPool(2)
        self._futures: list[tuple[str, concurrent.futures.Future[Any]]] = []

    def run(self) -> None:
        """Works until as many tasks as wanted were asked for, and settles all of them."""
        rounds: list[tuple[Callable[[], None], float]] = [
            (self._submit_some, 30),
            (self._map_some, 10),
            (self._pool_some, 10),
            (self._queue_some, 10),
            (self._start_threads, 6),
            (self._complete_by_hand, 6),
            (self._settle, 8),
            (self._shut_down, 2),
            (self._fork, 1),
        ]
        choices, weights = zip(*rounds, strict=True)
        while self.tally.total() < self._tasks:
            self._random.choices(choices, weights)[0]()
        self._settle()
        for executor in (self._executor, self._inner):
            executor.shutdown()
        self._pool.close()
        self._pool.join()

    def _new_executor(self) -> concurrent.futures.ThreadPoolExecutor:
        return concurrent.futures.ThreadPoolExecutor(self._random.randint(1, 4))

    # Tasks

    def _task(self, kind: str, value: int) -> int:
        self.tally.run(kind)
        if kind == "failing task":
            raise Refused(value)
        if kind == "nested task":
            self.tally.ask("inner task")
            inner = self._inner.submit(self._task, "inner task", value)
            if value % 2:
                return int(inner.result())
            inner.add_done_callback(lambda done: self.tally.check(done.result() == value, "an inner task's result"))
        return value

    def _submit_some(self) -> None:
        kinds = ("task", "failing task", "nested task", "cancelled task")
        for _ in range(self._random.randint(1, 60)):
            kind, value = self._random.choice(kinds), self._random.randrange(1000)
            self.tally.ask(kind)
            future = self._executor.submit(self._task, kind, value)
            if kind == "cancelled task":
                future.cancel()  # or it has begun
            future.add_done_callback(lambda done, value=value: self._look(done, value))  # type: ignore[misc]
            self._futures.append((kind, future))

    def _look(self, future: concurrent.futures.Future[int], value: int) -> None:
        if not future.cancelled() and future.exception() is None:
            self.tally.check(future.result() == value, "a task's result")

    def _settle(self) -> None:
        """Waits for every future of the executor, one way or another, and counts how it ended."""
        futures = [future for _, future in self._futures]
        way = self._random.randrange(3)
        if way == 0:
            concurrent.futures.wait([future for future in futures if not future.cancelled()])
        elif way == 1:
            waited = [future for future in futures if not future.cancelled()]
            self.tally.check(sum(1 for _ in concurrent.futures.as_completed(waited)) == len(waited), "as_completed")
        for kind, future in self._futures:
            try:
                future.result()
            except concurrent.futures.CancelledError:
                self.tally.cancel(kind)
            except Refused:
                self.tally.fail(kind)
        self._futures.clear()

    def _map_some(self) -> None:
        count = self._random.randint(1, 100)
        self.tally.ask("mapped task", count)

        def mapped(number: int) -> int:
            self.tally.run("mapped task")
            return -number

        got = list(self._executor.map(mapped, range(count)))
        self.tally.check(got == [-number for number in range(count)], "executor.map")

    def _pool_some(self) -> None:
        count, chunk = self._random.randint(1, 100), self._random.randint(1, 8)
        kind = "pool task"
        self.tally.ask(kind, count)

        def work(number: int) -> int:
            self.tally.run(kind)
            return number

        way = self._random.randrange(4)
        if way == 0:
            got = self._pool.map(work, range(count), chunk)
        elif way == 1:
            got = list(self._pool.imap(work, iter(range(count)), chunk))
        elif way == 2:
            got = sorted(self._pool.imap_unordered(work, range(count), chunk))
        else:
            seen: list[int] = []
            results = [self._pool.apply_async(work, (number,), callback=seen.append) for number in range(count)]
            got = [result.get() for result in results]
            self.tally.check(sorted(seen) == got, "callbacks of a thread pool")
        self.tally.check(got == list(range(count)), "a thread pool's results")

    # Queues and threads

    def _queue_some(self) -> None:
        kind: Any = self._random.choice([queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue])
        bounded = kind is not queue.SimpleQueue and self._random.random() < 0.5
        items: Any = kind(self._random.randint(1, 8)) if bounded else kind()
        producers, each = self._random.randint(1, 3), self._random.randint(1, 60)
        self.tally.ask("queue item", producers * each)
        got: list[int] = []

        def produce(start: int) -> None:
            for number in range(start, start + each):
                items.put(number)

        def consume() -> None:
            for _ in range(producers * each):
                got.append(items.get())
                self.tally.run("queue item")

        threads = [threading.Thread(target=produce, args=(at * each,)) for at in range(producers)]
        self._run_threads([*threads, threading.Thread(target=consume)])
        self.tally.check(sorted(got) == list(range(producers * each)), f"items of a {kind.__name__}")

    def _start_threads(self) -> None:
        count = self._random.randint(1, 8)
        self.tally.ask("thread", count)
        gate, barrier = threading.Event(), threading.Barrier(count)

        def body() -> None:
            gate.wait()
            barrier.wait()
            self.tally.run("thread")

        threads = [threading.Thread(target=body) for _ in range(count)]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads:
            thread.join()

    def _run_threads(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _complete_by_hand(self) -> None:
        """Futures that a thread completes while this one waits, beside those of an executor."""
        own = [concurrent.futures.Future[int]() for _ in range(self._random.randint(1, 10))]
        self.tally.ask("future", len(own))
        theirs = [self._inner.submit(int) for _ in range(self._random.randint(0, 3))]

        def complete() -> None:
            for number, future in enumerate(own):
                self.tally.run("future")
                future.set_result(number)

        thread = threading.Thread(target=complete)
        thread.start()
        done, not_done = concurrent.futures.wait([*own, *theirs])
        thread.join()
        self.tally.check((len(done), len(not_done)) == (len(own) + len(theirs), 0), "wait for both kinds of futures")
        self.tally.check([future.result() for future in own] == list(range(len(own))), "futures completed by hand")

    # Ends

    def _shut_down(self) -> None:
        """An executor with work in its queue, which is cancelled or finished; and a new one."""
        self._submit_some()
        self._executor.shutdown(wait=self._random.random() < 0.5, cancel_futures=self._random.random() < 0.5)
        self._executor = self._new_executor()

    def _fork(self) -> None:
        """A child that does a little of everything with threads, pools and queues of its own."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with concurrent.futures.ThreadPoolExecutor(2) as executor:
                    right = list(executor.map(abs, range(-20, 0))) == list(range(20, 0, -1))
                items: queue.Queue[int] = queue.Queue()
                thread = threading.Thread(target=lambda: items.put(7))
                thread.start()
                code = 0 if right and items.get(timeout=60) == 7 else 2
                thread.join()
            finally:
                os._exit(code)
        self.tally.ask("forked child")
        _, status = os.waitpid(child, 0)
        self.tally.run("forked child")
        self.tally.check(status == 0, f"a forked child, which ended with status {status}")
