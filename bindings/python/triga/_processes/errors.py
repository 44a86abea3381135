"""What the process pools raise beyond the standard library's exceptions."""

from __future__ import annotations

from multiprocessing import ProcessError


class WorkerLostError(ProcessError):
    """The worker process that ran the task ended before the task did.

    The standard library's Pool has no such error: there the task is lost and ``get()`` waits for ever.

    Attributes:
        pid: the worker's process id.
        exitcode: as :attr:`multiprocessing.Process.exitcode`: negative for a signal; None if it is not known.
        task: what ran, as text.
    """

    def __init__(self, message: str, pid: int | None = None, exitcode: int | None = None, task: str = "") -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.task = task

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.pid, self.exitcode, self.task)


class PoolEndedError(ProcessError):
    """The pool was terminated before the task had ended."""
