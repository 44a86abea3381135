"""The worker processes of one pool and the native core that gives them tasks.

Results, the helper threads and the finalizer refer to the crew, never to the pool itself, so a pool that nobody uses
any more is collected, and its workers with it.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from multiprocessing import util

from triga import _core
from triga._processes.limits import kept_memory
from triga._processes.link import Link
from triga._processes.pickling import ByValue, make_other_pickler, make_pickler, make_pickler_by_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Notified(Protocol):
        """A result that wants to be told when it is complete, in the collecting thread."""

        def _notice(self) -> None: ...


# Pickled tasks that may wait for a worker, in bytes; more is pickled when they have gone.
BACKLOG = 8 << 20


class _Caller:
    def __init__(self, notice: Callable[[], None]) -> None:
        self._notice = notice


class Crew:
    """Workers, core, and the one helper thread, which is started when it is first needed."""

    def __init__(self, hire: Callable[[], None], workers: int, by_value: bool) -> None:
        # `hire` brings the number of workers up to what it should be. A bound method of the pool: kept weakly.
        self._hire = weakref.WeakMethod(hire) if hasattr(hire, "__self__") else (lambda: hire)
        self.core = _core.ProcessPool(
            make_pickler_by_value if by_value else make_pickler,
            make_other_pickler,
            len(os.sched_getaffinity(0)) > 1,
            kept_memory(workers),
        )
        self.by_value = by_value  # the workers have another __main__
        self.processes: list[Any] = []
        self.by_id: dict[int, Any] = {}
        self.exits: dict[int, int | None] = {}  # of workers that are gone
        self.repairing = threading.RLock()  # workers are counted and started by one thread at a time
        self.running = True  # False: the pool was terminated
        self.broken: BaseException | None = None
        self.notices: dict[int, Notified] = {}
        self._next_token = 1
        self._collector: threading.Thread | None = None
        self._collector_lock = threading.Lock()
        self._parent = os.pidfd_open(os.getpid())

    # Workers

    def portable(self, value: Any) -> Any:
        """The value, so that a worker can be given it as an argument when it is started."""
        return ByValue(value) if self.by_value else value

    def start_worker(self, make: Callable[[Link], Any], quota: int) -> Any:
        """Starts one worker process, made by ``make(link)``, that will run ``quota`` tasks (0: any number)."""
        identity, descriptors = self.core.prepare_worker(quota)
        try:
            process = make(Link((*descriptors, self._parent), self.core, self.by_value))
            process.start()
        except BaseException:
            self.core.discard_worker(identity)
            raise
        self.by_id[identity] = process
        pid = getattr(process, "pid", None)
        if pid is not None:
            self.core.worker_started(identity, pid)
        return process

    def repair(self) -> None:
        """Sees to the workers that have ended: reaps them and has others hired in their place."""
        with self.repairing:
            departed = self.core.take_departed()
            for identity, _pid, _exitcode, text, *_ in departed:
                util.debug("%s", text)
                process = self.by_id.pop(identity, None)
                if process is not None:
                    process.join(5)
                    self.exits[identity] = process.exitcode
                    if process in self.processes:
                        self.processes.remove(process)
            if not self.running:
                return
            hire = self._hire()
            if hire is None:
                return
            if departed and self.core.failed_starts() > 2 * len(departed) + 8:
                from triga._processes.errors import WorkerLostError

                self.break_down(
                    WorkerLostError(f"no worker process lives to its first task; the last {departed[-1][3]}")
                )
                return
            try:
                hire()
            except Exception as error:
                if not self.processes:
                    self.break_down(error)

    def exit_of(self, identity: int) -> int | None:
        """The exit code of a worker that has ended, for those whose status only the forkserver gets."""
        with self.repairing:
            process = self.by_id.get(identity)
            if process is not None:
                process.join(5)
                return process.exitcode  # type: ignore[no-any-return]
            return self.exits.get(identity)

    def break_down(self, error: BaseException) -> None:
        """Gives the pool up: every task fails with ``error``."""
        self.broken = error
        self.core.abandon_tasks()

    # Waiting

    def wait(self, wait: Callable[..., str], *arguments: Any) -> bool:
        """Waits by one of the core's functions, doing repairs on the way; False if the time ran out."""
        while (how := wait(*arguments)) == "repairs":
            self.repair()
        return how == "ready"

    # The helper thread

    def ask_notice(self, result: Notified) -> int:
        """A token for a batch; the collecting thread calls ``result._notice()`` when the batch is complete."""
        token = self._next_token
        self._next_token += 1
        self.notices[token] = result
        return token

    def tell_when_complete(self, batch: _core.Batch, call: Callable[[], None]) -> None:
        """Calls ``call()`` in the collecting thread when the batch becomes complete."""
        token = self._next_token
        self._next_token += 1
        self.notices[token] = _Caller(call)
        batch.notify(token)
        self.collect_in_background()

    def collect_in_background(self) -> None:
        """Sees to it that somebody collects results while nobody waits for them."""
        if self._collector is None and self.running:
            with self._collector_lock:
                if self._collector is None:
                    thread = threading.Thread(target=_handle_results, args=(self,), daemon=True)
                    self._collector = thread
                    thread.start()

    def notify(self) -> None:
        """Tells the results that are complete."""
        for token in self.core.take_notices():
            result = self.notices.pop(token, None)
            if result is not None:
                result._notice()

    # The end

    def stop_collecting(self) -> None:
        """Ends the helper thread, after the notices that are due."""
        thread = self._collector
        self.core.stop_serving()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def dismiss(self) -> None:
        """Ends everything now: tasks fail, workers are terminated and reaped."""
        self.running = False
        self.core.abandon_tasks()
        with self.repairing:
            processes = list(self.processes)
        for process in processes:
            if process.exitcode is None:
                process.terminate()
        self.stop_collecting()
        for process in processes:
            if process.is_alive():
                util.debug("cleaning up worker %s", process.pid)
            process.join()
        self.release()

    def release(self) -> None:
        """Closes the descriptor that only new workers need."""
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1


def _handle_results(crew: Crew) -> None:
    while True:
        how = crew.core.serve()
        try:
            if how == "repairs":
                crew.repair()
            else:
                crew.notify()
        except Exception:
            sys.excepthook(*sys.exc_info())
        if how == "stopped":
            return


os.register_at_fork(before=_core.note_fork)
