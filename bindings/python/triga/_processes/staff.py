"""The worker processes of one ProcessPoolExecutor, its pending futures and the thread that completes them.

None of them refers to the executor, so that one which nobody uses any more is collected; its work is done to the end.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import _base
from concurrent.futures import process as stock
from contextlib import suppress
from itertools import count
from traceback import format_exception
from typing import Any

from triga import _core
from triga._processes.crew import Crew
from triga._processes.executor_worker import executor_worker
from triga._processes.feeder import BACKLOG

CALL = 1  # the core's tag of (function, arguments, keywords)


def _nobody() -> None:
    """A crew hires by itself; here the staff does."""


class Staff:
    """What an executor and its manager thread share.

    A task waits in one of three places. In `_waiting`, as objects, while the pickled ones are as many as they may be;
    in the core, pickled; in a worker's ring, from where it still can be taken back. `pending` has the future of each,
    until it is done.

    Locks: the executor's shutdown lock guards the registration of futures against the end; the crew's lock counts
    workers. Single operations on the dictionaries are atomic under the GIL.
    """

    _remote_traceback: Any = stock._RemoteTraceback

    def __init__(
        self,
        make_process: Callable[..., Any],
        max_workers: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        processes: dict[int, Any],
    ) -> None:
        self.pid = os.getpid()
        self._crew = Crew(_nobody)
        self.core = self._crew.core
        self._arrivals = _core.Arrivals(1)
        self._make_process = make_process
        self._max_workers = max_workers
        self._initializer = initializer
        self._initargs = initargs
        self._max_tasks = max_tasks
        self.processes = processes
        self.pending: dict[int, Any] = {}
        self._numbers = count()
        self._waiting: dict[int, tuple[Any, ...]] = {}
        self._waiting_order: deque[int] = deque()
        # Tasks that could not be pickled: workers have been started for them, and are not counted as free again, which
        # is how many there are in the original, too.
        self._refused = 0
        self._cancelling = False
        self.cause: str | None = None  # of the end, once a worker has ended that should not have

    # Workers

    def start_all(self) -> None:
        """As many workers as there may be; for fork, which has to happen before there is a thread."""
        with self._crew.repairing:
            while len(self.processes) < self._max_workers:
                self._start_one()

    def start_needed(self, more: int) -> None:
        """A worker each for tasks that find none free, now that ``more`` are about to come."""
        with self._crew.repairing:
            while len(self.processes) < min(self._max_workers, len(self.pending) + self._refused + more):
                self._start_one()

    def _start_one(self) -> None:
        process = self._crew.start_worker(self._new_process, self._max_tasks or 0)
        self.processes[process.pid] = process

    def _new_process(self, link: Any) -> Any:
        return self._make_process(
            target=executor_worker, args=(link, self._initializer, self._initargs, self._max_tasks)
        )

    def repair(self) -> None:
        """Replaces workers that have run all the tasks they may; another that has ended is the end of it all."""
        with self._crew.repairing:
            for identity, pid, exitcode, text, done in self.core.take_departed():
                process = self._crew.by_id.pop(identity)
                process.join()
                if done:
                    self.processes.pop(process.pid, None)
                elif self.cause is None:
                    how = f"{text} with exit code {process.exitcode}" if exitcode is None else text
                    self.cause = f"Process {pid} terminated abruptly with exit code {process.exitcode}: {how}"
            if self.cause is None:
                self.start_needed(0)

    # Tasks

    def register(self, future: Any) -> int:
        """The number of a new task."""
        index = future._index = next(self._numbers)
        future._staff = self
        self.pending[index] = future
        return index

    def send(self, index: int, call: tuple[Any, ...]) -> None:
        """Pickles a registered task, or keeps it until there is room."""
        if self._waiting or self.core.backlog_bytes() > BACKLOG:
            self._waiting[index] = call
            self._waiting_order.append(index)
            self.wakeup()
        else:
            self._pickle(index, call)

    def _pickle(self, index: int, call: tuple[Any, ...]) -> None:
        try:
            self.core.submit(self._arrivals, index, CALL, call)
        except Exception as error:
            self._refused += 1
            future = self.pending.pop(index, None)
            if future is not None:
                text, remote = "".join(format_exception(error)), self._remote_traceback
                error.__cause__ = remote(f'\n"""\n{text}"""')
                self._fail(future, error)
            self.wakeup()

    def feed(self) -> None:
        """Pickles tasks that wait, as far as there is room."""
        while self._waiting_order and self.core.backlog_bytes() <= BACKLOG:
            index = self._waiting_order.popleft()
            call = self._waiting.pop(index, None)
            if call is not None:
                self._pickle(index, call)
            del call

    def take_back(self, index: int) -> bool:
        """True if the task will not run, as no worker has taken it."""
        if self._waiting.pop(index, None) is None and not self.core.cancel(self._arrivals, index):
            return False
        self.pending.pop(index, None)
        self.wakeup()
        return True

    def is_running(self, index: int) -> bool:
        """Whether a worker has taken the task."""
        return self.pid == os.getpid() and self.core.is_running(self._arrivals, index)

    def cancel_waiting(self) -> None:
        """Has the manager thread cancel all that no worker has taken."""
        self._cancelling = True
        self.wakeup()

    # Results

    def collect(self) -> None:
        """Completes futures with what has come."""
        if self._cancelling:
            self._cancel_now()
        while True:
            try:
                while self._complete_next():
                    pass
            except _base.InvalidStateError:
                continue  # somebody else has completed that one
            return

    def _cancel_now(self) -> None:
        self._cancelling = False
        for index in list(self._waiting):
            if self._waiting.pop(index, None) is not None:
                self.pending.pop(index).dismiss()
        self.core.cancel_waiting()

    def _complete_next(self) -> bool:
        """Completes the future of the next outcome; False if there is none. Nothing here outlives it."""
        arrival = self.core.next_arrival(self._arrivals)
        if arrival is None:
            return False
        index, word, value = arrival
        if word == "lost":
            return True  # the future stays pending, and breaks with the others
        if word == "damaged":
            self.cause = "".join(format_exception(value))
            return True
        future = self.pending.pop(index, None)
        if future is None:
            return True
        if word == "cancelled":
            future.dismiss()
            return True
        future._staff = None
        if word == "value":
            future.set_result(value)
        elif word == "error":
            future.set_exception(value)
        else:
            future.set_exception(OSError(value, f"no shared memory for the arguments: {os.strerror(value)}"))
        return True

    @staticmethod
    def _fail(future: Any, error: BaseException) -> None:
        future._staff = None
        with suppress(_base.InvalidStateError):  # somebody else has completed it
            future.set_exception(error)

    # The end

    def wakeup(self) -> None:
        """Has the manager thread look at what has changed."""
        if self.pid == os.getpid():
            self.core.stop_serving()

    def end(self) -> None:
        """Has the workers exit, which have nothing to do any more, and waits for them."""
        self.core.finish()
        for process in list(self.processes.values()):
            process.join()
        self._crew.release()

    def break_down(self, error: Callable[[], BaseException]) -> None:
        """Fails every future with an exception of its own, and ends the workers by force."""
        while self.pending:
            _index, future = self.pending.popitem()
            self._fail(future, error())
            del future
        self._waiting.clear()
        self.core.abandon_tasks()
        with self._crew.repairing:
            processes = list(self.processes.values())
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        self._crew.release()
