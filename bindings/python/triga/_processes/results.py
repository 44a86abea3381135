"""The results of a Pool's calls. They stay bytes until somebody asks, and are unpickled in the thread that asks.

What only a failure needs is imported when there is one: a short program's start is mostly imports.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from multiprocessing import TimeoutError
from multiprocessing import pool as stock
from time import monotonic

from triga import _core
from triga._processes.crew import Crew

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from triga._processes.task_metadata import TaskMetadata

    Callback = Callable[[Any], object]


def _failure(crew: Crew, word: str, value: Any, function: Any) -> BaseException:
    """The exception for an outcome of the core that is no success."""
    if word == "error":
        error: BaseException = value
        return error
    from triga._processes.failures import failure

    return failure(crew, word, value, function)


def _not_unpickled(error: BaseException, function: Any) -> BaseException:
    from triga._processes.errors import describe_task

    error.add_note(f"triga: raised while the result of {describe_task(function)} was unpickled")
    return error


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
        self._usage: list[tuple[float, float, int]] = []
        self._waiters: list[Callable[[], None]] = []  # in event loops
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
            word, value, usage = self._crew.core.take(self._batch, index)
        except Exception as error:
            return False, _not_unpickled(error, self._task)
        if usage is not None:
            self._usage.append(usage)
        if word == "value":
            return True, value
        return False, _failure(self._crew, word, value, self._task)

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
            self._tell_waiters()

    def _tell_waiters(self) -> None:
        while self._waiters:
            self._waiters.pop()()

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

    @property
    def metadata(self) -> TaskMetadata | None:
        """What the task took, if that was asked for (``measure=True``) and it has been answered."""
        if not self.ready():
            return None
        self._settle()
        if not self._usage:
            return None
        from triga._processes.task_metadata import TaskMetadata

        return TaskMetadata(*self._usage[0])

    def cancel(self, *, running: bool = False) -> bool:
        """Cancels the call if no worker has begun it; with ``running``, by its worker's death, if one has.

        Returns whether it will not end: ``get()`` raises CancelledError then.
        """
        if self.ready():
            return False
        core, cancelled = self._crew.core, False
        for index in range(self._batch.expected()):
            cancelled |= core.cancel(self._batch, index) or (running and core.cancel_running(self._batch, index))
        return cancelled

    def __await__(self) -> Generator[Any, None, Any]:
        """Waits for the result inside an event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.append(lambda: _settle_waiter(loop, waiter))
        if self._event is None:
            self._crew.tell_when_complete(self._batch, self._tell_waiters)
        if self.ready():
            self._tell_waiters()
        yield from waiter
        return self.get()


def _settle_waiter(loop: Any, waiter: Any) -> None:
    with suppress(RuntimeError):  # the loop has been closed
        loop.call_soon_threadsafe(lambda: waiter.done() or waiter.set_result(None))


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
        self._index = 0  # of the next result, counted as they are taken
        self._index_lock = threading.Lock()  # several threads may take results
        self._local: dict[int, BaseException] = {}
        self._batch = _core.Batch(None, False, 0)

    def _fail(self, index: int, error: BaseException) -> None:
        self._local[index] = error
        self._crew.core.conclude(self._batch, index)

    def _wait(self, position: int, timeout: float | None) -> bool:
        return self._crew.wait(self._crew.core.wait_settled, self._batch, position, timeout)

    def _which(self, position: int) -> int:
        return position

    def next(self, timeout: float | None = None) -> Any:
        """The next result that no other thread has taken; TimeoutError if it does not come in time."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            position = self._index
            if not self._wait(position, timeout):
                raise TimeoutError
            with self._index_lock:
                if self._index == position:
                    if position >= self._batch.expected():
                        self._pool = None
                        raise StopIteration
                    self._index = position + 1
                    break
            if deadline is not None:
                timeout = max(deadline - monotonic(), 0)
        index = self._which(position)
        if index in self._local:
            raise self._local.pop(index)
        word, value, _usage = self._crew.core.take(self._batch, index)
        if word == "value":
            return value
        raise _failure(self._crew, word, value, self._task)

    __next__ = next


class IMapUnorderedIterator(IMapIterator):
    """What imap_unordered returns: results as they come."""

    def _wait(self, position: int, timeout: float | None) -> bool:
        return self._crew.wait(self._crew.core.wait_arrival, self._batch, position, timeout)

    def _which(self, position: int) -> int:
        index = self._batch.arrival(position)
        assert index is not None
        return index
