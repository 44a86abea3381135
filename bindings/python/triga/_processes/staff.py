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
from traceback import format_exception

from triga import _core
from triga._processes.crew import BACKLOG, Crew
from triga._processes.executor_worker import executor_worker
from triga._processes.terms import PLAIN, Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORCED = (
    "A worker process exited while the pool was being forcefully shut down;"
    " work that was still enqueued will not be run."
)
_NO_REPLACEMENT = (
    "A replacement worker process could not be started, leaving the pool without workers to run the remaining work."
)


def _nobody() -> None:
    """A crew hires by itself; here the staff does."""


class Plan:
    """What kind of workers an executor has, and what their end means."""

    def __init__(
        self,
        process: Callable[..., Any],  # makes one
        max_workers: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        *,
        memory_limit: int | None,
        by_value: bool,  # the workers have another __main__
        replaces: bool,  # a crash costs the task that ran; else it breaks the executor
    ) -> None:
        self.process = process
        self.max_workers = max_workers
        self.initializer = initializer
        self.initargs = initargs
        self.max_tasks = max_tasks
        self.memory_limit = memory_limit
        self.by_value = by_value
        self.replaces = replaces


class Staff:
    """What an executor and its manager thread share.

    A task waits in one of three places. In `_waiting`, as objects, while the pickled ones are as many as they may be;
    in the core, pickled; in a worker's ring, from where it still can be taken back. The desk has the future of each,
    until it is done.

    Locks: the executor's shutdown lock guards the registration of futures against the end; the crew's lock counts
    workers. Single operations on the dictionaries and the desk are atomic under the GIL.
    """

    _remote_traceback: Any = stock._RemoteTraceback

    def __init__(self, plan: Plan, future_type: Any, processes: dict[int, Any], module: Any) -> None:
        self.pid = os.getpid()
        self._crew = Crew(_nobody, plan.max_workers, plan.by_value)
        self.core = self._crew.core
        self.desk = _core.TaskDesk(self.core, future_type, self, BACKLOG, plan.replaces)
        self._plan = plan
        self._module = module
        self._stock_spawn = getattr(module, "_spawn_worker", None)
        self.processes = processes
        self._waiting: dict[int, tuple[tuple[Any, ...], Terms]] = {}
        self._waiting_order: deque[int] = deque()
        # Tasks that could not be pickled: workers have been started for them, and are not counted as free again, which
        # is how many there are in the original, too.
        self._refused = 0
        self._cancelling = False
        self.cause: str | None = None  # of the end, once a worker has ended that should not have
        self.message: str | None = None  # of the errors that futures get then; None: the usual one

    # Workers

    def start_all(self) -> None:
        """As many workers as there may be; for fork, which has to happen before there is a thread."""
        with self._crew.repairing:
            while len(self.processes) < self._plan.max_workers:
                self.start_one()

    def start_needed(self, more: int) -> None:
        """A worker each for tasks that find none free, now that ``more`` are about to come."""
        with self._crew.repairing:
            while len(self.processes) < min(self._plan.max_workers, len(self.desk) + self._refused + more):
                self.start_one()

    @property
    def complete(self) -> bool:
        """Whether there are all the workers that there may be, and none will be missing for having done its share."""
        return self._plan.max_tasks is None and len(self.processes) >= self._plan.max_workers

    def start_one(self) -> None:
        """Starts a worker; by what was put in the place of the standard module's function, if that was replaced."""
        plan = self._plan
        spawn = getattr(self._module, "_spawn_worker", None)
        if spawn is not None and spawn is not self._stock_spawn:
            context = getattr(plan.process, "__self__", None)
            spawn(context, None, None, plan.initializer, plan.initargs, plan.max_tasks, self.processes)
            return
        process = self._crew.start_worker(self._new_process, plan.max_tasks or 0)
        self.processes[process.pid] = process

    def _new_process(self, link: Any) -> Any:
        plan = self._plan
        portable = self._crew.portable
        arguments = (link, portable(plan.initializer), portable(plan.initargs), plan.max_tasks, plan.memory_limit)
        return plan.process(target=executor_worker, args=arguments)

    def repair(self, forced: bool) -> None:
        """Replaces workers that have run all the tasks they may, or were killed for their task's sake.

        Another that has ended is the end of it all, unless the plan says otherwise. ``forced``: the pool is being torn
        down, and a new worker would escape that.
        """
        with self._crew.repairing:
            departed = self.core.take_departed()
            for each in departed:
                self._see_off(*each)
            if self.cause is not None:
                return
            if forced and departed:
                self._end_without_workers(_FORCED, _FORCED)
            elif self._plan.replaces and self.core.failed_starts() > 2 * len(departed) + 8:
                self.cause = f"no worker process lives to its first task; the last {departed[-1][3]}"
            else:
                self._replace(all(each[4] for each in departed))

    def _see_off(self, identity: int, pid: int, exitcode: int | None, text: str, done: bool, by_itself: bool) -> None:
        process = self._crew.by_id.pop(identity)
        process.join()
        self._crew.exits[identity] = process.exitcode
        if done or not by_itself or self._plan.replaces:
            self.processes.pop(process.pid, None)
        elif self.cause is None:
            how = f"{text} with exit code {process.exitcode}" if exitcode is None else text
            self.cause = f"Process {pid} terminated abruptly with exit code {process.exitcode}: {how}"

    def _replace(self, by_need: bool) -> None:
        try:
            # What submit() takes the short way for is that there are all of them.
            self.start_needed(0) if by_need else self.start_all()
        except Exception as error:
            # Others, if there are any, go on with the work.
            self._end_without_workers("".join(format_exception(error)), _NO_REPLACEMENT)

    def _end_without_workers(self, cause: str, message: str) -> None:
        # A pool without workers breaks even if nothing is pending: the next submit() would wait for ever.
        if not self.processes and (len(self.desk) or message == _NO_REPLACEMENT):
            self.cause, self.message = cause, message

    # Tasks

    def register(self, function: Any) -> Any:
        """The future of a new task."""
        return self.desk.register(function)

    def send(self, index: int, call: tuple[Any, ...], terms: Terms = PLAIN) -> None:
        """Pickles a registered task, or keeps it until there is room."""
        if self._waiting or self.core.backlog_bytes() > BACKLOG:
            self._waiting[index] = call, terms
            self._waiting_order.append(index)
            self.wakeup()
        else:
            self._pickle(index, call, terms)

    def _pickle(self, index: int, call: tuple[Any, ...], terms: Terms) -> None:
        try:
            self.desk.send(index, call, terms.retries, terms.timeout, terms.measure)
        except Exception as error:
            self._refused += 1
            future = self.desk.pop(index)
            if future is not None:
                text, remote = "".join(format_exception(error)), self._remote_traceback
                error.__cause__ = remote(f'\n"""\n{text}"""')
                self._fail(future, error)
            self.wakeup()

    def feed(self) -> None:
        """Pickles tasks that wait, as far as there is room."""
        while self._waiting_order and self.core.backlog_bytes() <= BACKLOG:
            index = self._waiting_order.popleft()
            waiting = self._waiting.pop(index, None)
            if waiting is not None:
                self._pickle(index, *waiting)
            del waiting

    def take_back(self, index: int) -> bool:
        """True if the task will not run, as no worker has taken it."""
        if self._waiting.pop(index, None) is None and not self.desk.cancel(index):
            return False
        self.desk.pop(index)
        self.wakeup()
        return True

    def kill_task(self, index: int) -> bool:
        """True if the task ran and will not end: its worker is killed."""
        if not self.desk.cancel_running(index):
            return False
        self.desk.pop(index)
        self.wakeup()
        return True

    def is_running(self, index: int) -> bool:
        """Whether a worker has taken the task."""
        return self.pid == os.getpid() and self.desk.is_running(index)

    def cancel_waiting(self) -> None:
        """Has the manager thread cancel all that no worker has taken."""
        self._cancelling = True
        self.wakeup()

    # Results

    def collect(self) -> None:
        """Completes futures with what has come."""
        if self._cancelling:
            self._cancel_now()
        more = True
        while more:
            try:
                more, rest = self.desk.complete()
            except _base.InvalidStateError:
                continue  # somebody else has completed that one
            for index, word, value in rest:
                self._attend_to(index, word, value)

    def _cancel_now(self) -> None:
        self._cancelling = False
        for index in list(self._waiting):
            if self._waiting.pop(index, None) is not None:
                self.desk.pop(index).dismiss()
        self.core.cancel_waiting()

    def _attend_to(self, index: int, word: str, value: Any) -> None:
        """Sees to the future of a task that was not answered."""
        if not self._plan.replaces and word in ("lost", "damaged"):
            if word == "damaged":
                self.cause = "".join(format_exception(value))
            return  # the future stays pending, and breaks with the others
        future = self.desk.pop(index)
        if future is None:
            return
        if word == "cancelled":
            future.dismiss()
            return
        from triga._processes.errors import describe_task

        function = getattr(future, "_task", None)
        task = "a task" if function is None else describe_task(function)
        self._fail(future, self._error_of(word, value, task))

    def _error_of(self, word: str, value: Any, task: str) -> BaseException:
        from triga._processes.errors import lost, timed_out, unsendable

        if word == "lost":
            return lost(value, self._crew.exit_of(value[0]) if value[2] is None else None, task)
        if word == "timed_out":
            return timed_out(value, task)
        if word == "damaged":
            value.add_note(f"triga: raised while the result of {task} was unpickled")
            return value  # type: ignore[no-any-return]
        return unsendable(value, task)

    @staticmethod
    def _fail(future: Any, error: BaseException) -> None:
        future._staff = future._task = None
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
        self.core.stop_workers()  # a task that was cancelled while it ran may not have been heard of
        for process in list(self.processes.values()):
            process.join()
        self.desk.close()
        self._crew.release()

    def break_down(self, error: Callable[[], BaseException]) -> None:
        """Fails every future with an exception of its own, and ends the workers by force."""
        self.desk.close()
        while (future := self.desk.pop_first()) is not None:
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
