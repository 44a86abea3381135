"""What the process pools raise beyond the standard library's exceptions."""

from __future__ import annotations

import os
from multiprocessing import ProcessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def describe_task(function: Any) -> str:
    """A task's name for an error message."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else repr(function)


def short_repr(value: Any) -> str:
    """A value for an error message, which has to find room itself."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= 200 else text[:200] + "..."


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


class TaskTimeoutError(TimeoutError):
    """The task ran longer than its ``timeout``; the worker process that ran it was killed and replaced.

    Attributes:
        pid: the worker's process id.
        task: what ran, as text.
    """

    def __init__(self, message: str, pid: int | None = None, task: str = "") -> None:
        super().__init__(message)
        self.pid = pid
        self.task = task

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.args[0], self.pid, self.task)


class PoolEndedError(ProcessError):
    """The pool was terminated before the task had ended."""


def unsendable(error: int, task: str) -> OSError:
    """The error of a task whose arguments found no memory; ``error`` is an errno."""
    where = "into shared memory (the machine's, not /dev/shm)"
    return OSError(error, f"cannot put the arguments of {task} {where}: {os.strerror(error)}")


def timed_out(departure: tuple[Any, ...], task: str) -> TaskTimeoutError:
    """The error of a task whose worker was killed because the task took too long."""
    _identity, pid, *_ = departure
    return TaskTimeoutError(f"{task} ran longer than its timeout; worker process {pid} was killed", pid, task)


def lost(departure: tuple[Any, ...], exitcode: int | None, task: str) -> WorkerLostError:
    """The error of a task whose worker died; ``exitcode`` where the departure does not know it."""
    _identity, pid, known, text, *_ = departure
    if known is None:
        text += f" with exit code {exitcode}"
    else:
        exitcode = known
    return WorkerLostError(f"{text} while it ran {task}", pid, exitcode, task)
