"""The results of a Pool's calls. They stay bytes until somebody asks, and are unpickled in the thread that asks."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from multiprocessing import TimeoutError
from multiprocessing import pool as stock
from typing import Any

from triga import _core
from triga._processes.crew import Crew
from triga._processes.errors import PoolEndedError, WorkerLostError

Callback = Callable[[Any], object]


def describe_task(function: Any) -> str:
    """A task's name for an error message."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{name}" if module and name else repr(function)


def failure(crew: Crew, word: str, value: Any, task: str) -> BaseException:
    """The exception for an outcome of the core that is no success."""
    if word == "error":
        error: BaseException = value
        return error
    if word == "lost":
        identity, pid, exitcode, text, _done = value
        if exitcode is None:
            exitcode = crew.exit_of(identity)
            text += f" with exit code {exitcode}"
        return WorkerLostError(f"{text} while it ran {task}", pid, exitcode, task)
    if word == "unsendable":
        return OSError(value, f"cannot put the arguments of {task} into shared memory: {os.strerror(value)}")
    if crew.broken is not None:
        return crew.broken
    return PoolEndedError(f"the pool was terminated before {task} had ended")


class ApplyResult(stock.ApplyResult):  # type: ignore[type-arg]
    """The result of apply_async, and what map_async's builds on."""

    def __init__(
        self,
        pool: Any,
        crew: Crew,
        function: Any,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
        expected: int = 1,
    ) -> None:
        self._pool = pool  # a pool lives as long as its results are out
        self._crew = crew
        self._task = function
        self._callback = callback
        self._error_callback = error_callback
        self._settled = False
        self._lock = threading.Lock()
        self._local: dict[int, BaseException] = {}
        # With callbacks the result is there when they have run; the collecting thread runs them.
        self._event = threading.Event() if callback is not None or error_callback is not None else None
        token = crew.ask_notice(self) if self._event is not None else 0
        self._batch = _core.Batch(expected, expected != 1, token)

    def _fail(self, index: int, error: BaseException) -> None:
        self._local[index] = error
        self._crew.core.conclude(self._batch, index)

    def _outcome(self, index: int) -> tuple[bool, Any]:
        if index in self._local:
            return False, self._local[index]
        try:
            word, value = self._crew.core.take(self._batch, index)
        except Exception as error:
            return False, error
        if word == "value":
            return True, value
        return False, failure(self._crew, word, value, describe_task(self._task))

    def _compute(self) -> tuple[bool, Any]:
        return self._outcome(0)

    def _settle(self) -> None:
        with self._lock:
            if not self._settled:
                self._success, self._value = self._compute()
                self._settled = True
                self._pool = None

    def _notice(self) -> None:
        self._settle()
        callback = self._callback if self._success else self._error_callback
        try:
            if callback is not None:
                callback(self._value)
        except Exception:
            # The standard library's pool is dead after this; this one says it and goes on.
            sys.excepthook(*sys.exc_info())
        finally:
            if self._event is not None:
                self._event.set()

    def ready(self) -> bool:
        """Whether the call has completed."""
        if self._event is not None:
            return self._event.is_set()
        if not self._batch.complete():
            self._crew.core.collect()
        return self._batch.complete()

    def successful(self) -> bool:
        """Whether the call completed without raising; ValueError if it has not completed."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        self._settle()
        return bool(self._success)

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the result is there or the time has passed."""
        self._wait(timeout)

    def _wait(self, timeout: float | None) -> bool:
        if self._settled and self._event is None:
            return True
        if self._event is not None:
            return self._event.wait(timeout)
        return self._crew.wait(self._crew.core.wait_complete, self._batch, timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The result, or the exception that the task raised; TimeoutError if it is not there in time."""
        if not self._wait(timeout):
            raise TimeoutError
        self._settle()
        if self._success:
            return self._value
        raise self._value


class MapResult(ApplyResult):
    """The result of map_async and starmap_async: a list, or the first exception."""

    def __init__(
        self,
        pool: Any,
        crew: Crew,
        function: Any,
        chunks: int,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> None:
        super().__init__(pool, crew, function, callback, error_callback, chunks)
        if chunks == 0:
            self._success, self._value, self._settled, self._pool = True, [], True, None
            if self._event is not None:
                self._event.set()

    def _compute(self) -> tuple[bool, Any]:
        failed = self._batch.first_failure()
        if failed is not None:
            return self._outcome(failed)
        try:
            return True, self._crew.core.take_lists(self._batch)
        except Exception as error:
            return False, error


class IMapIterator(stock.IMapIterator):  # type: ignore[type-arg]
    """What imap returns: results in the order of the items."""

    def __init__(self, pool: Any, crew: Crew, function: Any) -> None:
        self._pool = pool
        self._crew = crew
        self._task = function
        self._index = 0
        self._local: dict[int, BaseException] = {}
        self._batch = _core.Batch(None, False, 0)

    def _fail(self, index: int, error: BaseException) -> None:
        self._local[index] = error
        self._crew.core.conclude(self._batch, index)

    def _wait(self, timeout: float | None) -> bool:
        return self._crew.wait(self._crew.core.wait_settled, self._batch, self._index, timeout)

    def _which(self) -> int:
        return self._index

    def next(self, timeout: float | None = None) -> Any:
        """The next result; TimeoutError if it does not come in time."""
        if not self._wait(timeout):
            raise TimeoutError
        if self._index >= self._batch.expected():
            self._pool = None
            raise StopIteration
        index = self._which()
        self._index += 1
        if index in self._local:
            raise self._local.pop(index)
        word, value = self._crew.core.take(self._batch, index)
        if word == "value":
            return value
        raise failure(self._crew, word, value, describe_task(self._task))

    __next__ = next


class IMapUnorderedIterator(IMapIterator):
    """What imap_unordered returns: results as they come."""

    def _wait(self, timeout: float | None) -> bool:
        return self._crew.wait(self._crew.core.wait_arrival, self._batch, self._index, timeout)

    def _which(self) -> int:
        index = self._batch.arrival(self._index)
        assert index is not None
        return index
