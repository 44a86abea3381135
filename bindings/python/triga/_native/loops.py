"""Running the core's loops: how many threads take part, progress, cancelling; and parallel_for()."""

from __future__ import annotations

import os
import sys
import threading

from triga import _core
from triga._native.signatures import native_function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Cancellation:
    """Stops the native work that it was given to, from any thread: that work raises CancelledError.

    Once cancelled it stays so: work that is begun with it afterwards is cancelled at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: list[_core.NativeLoop] = []
        self._cancelled = False

    def cancel(self) -> None:
        """Lets no further item begin, and stops files between two blocks."""
        with self._lock:
            self._cancelled = True
            for loop in self._loops:
                loop.cancel()

    def cancelled(self) -> bool:
        """Whether cancel() was called."""
        return self._cancelled

    def _enter(self, loop: _core.NativeLoop) -> None:
        with self._lock:
            self._loops.append(loop)
            if self._cancelled:
                loop.cancel()

    def _leave(self, loop: _core.NativeLoop) -> None:
        with self._lock:
            self._loops.remove(loop)


def check_workers(workers: int | None) -> int:
    """How many threads take part: ``workers``, or as many as this process may use processors."""
    if workers is None:
        return len(os.sched_getaffinity(0))
    if not isinstance(workers, int):
        raise TypeError(f"workers: expected an int or None, got {type(workers).__name__!r}")
    if workers < 1:
        raise ValueError(f"workers: expected 1 or more, got {workers}")
    return workers


def run_loop(
    loop: _core.NativeLoop,
    threads: int,
    tick: Callable[[int], object] | None = None,
    cancel: Cancellation | None = None,
    helpers: int | None = None,
) -> None:
    """Runs the loop on the calling thread and ``helpers`` others, ``threads - 1`` unless said otherwise.

    Raises CancelledError if it was cancelled, and what ``tick`` or a signal handler raised.
    """
    helpers = threads - 1 if helpers is None else helpers
    if cancel is None:
        loop.run(helpers, threads, tick)
        return
    if not isinstance(cancel, Cancellation):
        raise TypeError(f"cancel: expected a triga.Cancellation or None, got {type(cancel).__name__!r}")
    cancel._enter(loop)
    try:
        loop.run(helpers, threads, tick)
    finally:
        cancel._leave(loop)
    if cancel.cancelled():
        from concurrent.futures import CancelledError

        raise CancelledError("the native work was cancelled")


def progress_on(stream: Any, what: str, total: int) -> Callable[[int], object] | None:
    """Writes ``what 12/1000`` to a terminal, over and over on one line; None where the stream is no terminal."""
    if not stream.isatty():
        return None
    shown = -1

    def tick(done: int) -> None:
        nonlocal shown
        if done != shown:
            shown = done
            end = "\n" if done == total else ""
            stream.write(f"\r{what} {done}/{total}{end}")
            stream.flush()

    return tick


def ticker(progress: bool, what: str, total: int) -> Callable[[int], object] | None:
    """What ``progress=True`` means: a line on the error stream, if that is a terminal."""
    return progress_on(sys.stderr, what, total) if progress and sys.stderr is not None else None


def parallel_for(
    function: Any,
    n: int,
    *arguments: Any,
    chunk: int | None = None,
    workers: int | None = None,
    executor: Any = None,
    cancel: Cancellation | None = None,
) -> None:
    """Calls the native ``function(begin, end, *arguments)`` for ranges that cover 0 to ``n - 1``, each once.

    The calling thread takes part, with ``workers - 1`` threads of triga's, or with the workers of ``executor`` (a
    native ThreadPoolExecutor). None of them takes the GIL. Ranges are a share of what is left, large at first and small
    at the end, so that uneven work is spread evenly; ``chunk`` makes all of them that long.

    Arguments are checked once, before any call: a buffer for a typed pointer needs that element type, ``n`` elements
    along its first dimension, C order, and to be writable unless the pointer is to const. A function that returns an
    integer tells a failure by one that is not 0: no range is begun any more, and RuntimeError says which it was.
    """
    if not isinstance(n, int):
        raise TypeError(f"n: expected an int, got {type(n).__name__!r}")
    if n < 0:
        raise ValueError(f"n: expected 0 or more, got {n}")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk: expected 1 or more, got {chunk}")
    called = native_function(function)
    loop = _core.FunctionLoop(called, n, chunk or 0, arguments)
    if executor is None:
        run_loop(loop, min(check_workers(workers), max(n, 1)), None, cancel)
    else:
        _run_on(executor, loop, workers, cancel)
    failure = loop.failure()
    if failure is not None:
        begin, end, returned = failure
        raise RuntimeError(f"{called.name}() returned {returned} for the range {begin} to {end}")


def _run_on(executor: Any, loop: _core.NativeLoop, workers: int | None, cancel: Cancellation | None) -> None:
    from concurrent.futures import wait

    submit = getattr(executor, "_submit_with", None)
    if submit is None:
        raise TypeError(f"executor: expected triga's ThreadPoolExecutor, got {type(executor).__name__!r}")
    threads = check_workers(workers) if workers is not None else executor._max_workers + 1
    futures = [submit(0, None, None, loop) for _ in range(min(threads - 1, executor._max_workers))]
    try:
        # No threads beside the executor's, which may come late or never: then this one does all.
        run_loop(loop, threads, None, cancel, helpers=0)
    except BaseException:
        loop.cancel()
        raise
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
