"""Executor.map() in parts that the thread pool and the process pool share."""

from __future__ import annotations

import time
import weakref
from collections import deque
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


def check_buffersize(buffersize: int | None) -> None:
    """Raises as the standard library does for what is no buffersize."""
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


def results_of(
    executor: Any,
    submit_all: Callable[[Any, Iterator[Any]], list[Any]],
    fn: Callable[..., Any],
    calls: Iterator[Any],
    timeout: float | None,
    buffersize: int | None,
) -> Iterator[Any]:
    """The results of ``fn(*args) for args in calls``, in order; what is submitted now is as in the original.

    ``submit_all(fn, calls)`` gives the list of futures when there is no buffersize.
    """
    check_buffersize(buffersize)
    end = None if timeout is None else timeout + time.monotonic()
    if buffersize is None:
        return _results(submit_all(fn, calls), end, _nothing)
    fs = deque(executor.submit(fn, *args) for args in islice(calls, buffersize))
    executor_reference = weakref.ref(executor)

    def refill() -> None:
        executor = executor_reference()
        if executor is not None and (args := next(calls, None)):
            fs.appendleft(executor.submit(fn, *args))

    return _results(fs, end, refill)


def _nothing() -> None:
    pass


def _results(fs: deque[Any] | list[Any], end: float | None, refill: Callable[[], None]) -> Iterator[Any]:
    try:
        fs.reverse()
        while fs:
            refill()
            # Nothing here keeps a reference to a future that is done, or to its result.
            yield _result_or_cancel(fs.pop(), end)
    finally:
        for future in fs:
            future.cancel()


def _result_or_cancel(future: Any, end: float | None) -> Any:
    try:
        return future.result(None if end is None else end - time.monotonic())
    except BaseException:
        future.cancel()
        raise
    finally:
        del future
