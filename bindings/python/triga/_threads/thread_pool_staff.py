"""What a ThreadPool's workers share: they must not refer to the pool, which could never be collected then."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import _base
from itertools import islice
from multiprocessing import util

from triga import _core
from triga._core import MappedItems
from triga._processes.errors import PoolEndedError
from triga._threads.futures import Future
from triga._threads.thread_pool_results import (
    ApplyResult,
    Failure,
    IMapIterator,
    IMapUnorderedIterator,
    ItemsResult,
    MapResult,
    UnorderedItemsIterator,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any


def _raise(error: Exception) -> None:
    raise error


class _Tasks(_core.ExecutorCore):
    """The queue of tasks; it starts no workers by itself."""

    def __init__(self) -> None:
        self.queue = self._open(0, False, {}, None)

    def _refuse(self) -> None:
        raise ValueError("Pool not running")


class Staff:
    """The tasks, the workers' state, and the thread that runs callbacks, if there are any.

    The pool has the classes of its results from here: it imports none of them before it starts its workers.
    """

    single_result = ApplyResult
    mapped_result = MapResult
    items_result = ItemsResult
    ordered_results = IMapIterator
    unordered_results = IMapUnorderedIterator
    unordered_items = UnorderedItemsIterator
    failure = Failure

    def __init__(self) -> None:
        tasks = _Tasks()
        self.queue = tasks.queue
        self._submit = tasks.submit
        self._lock = threading.Lock()
        self._closing = False
        self.terminated = False
        self.broken: BaseException | None = None
        self._mapped: set[MappedItems] = set()  # those that are not done
        self._untold = 0  # results with callbacks that have not run yet
        self._finished: queue.SimpleQueue[ApplyResult | None] = queue.SimpleQueue()
        self._results_handler: threading.Thread | None = None

    # Tasks

    def submit(self, func: Callable[..., Any], /, *args: Any, **kwds: Any) -> Future:
        """Queues a call."""
        if self.broken is not None:
            return self.failed(self.broken)
        future: Future = self._submit(func, *args, **kwds)
        if self.broken is not None:
            self._fail_queued(self.broken)
        return future

    def map_items(self, func: Callable[[Any], Any], items: Sequence[Any], workers: int, *sink: Any) -> MappedItems:
        """Has workers call the function for each item, one after the other. ``sink``: see MappedItems."""
        mapped = MappedItems(func, items, Future(), *sink)

        def part_is_over(part: Future) -> None:
            error = part.exception()
            if error is not None:  # it was never begun
                mapped.abandon(error)

        self._mapped.add(mapped)
        mapped.done.add_done_callback(lambda _: self._mapped.discard(mapped))
        try:
            for _ in range(min(workers, len(mapped))):
                self.submit(mapped.run).add_done_callback(part_is_over)
        except ValueError as error:  # the pool was terminated meanwhile
            mapped.abandon(error)
        return mapped

    def submit_chunks(self, func: Any, iterable: Iterable[Any], mapper: Any, chunksize: int) -> list[Future]:
        """Queues a call of ``mapper`` for each chunk; an exception of the iterable is the last one's outcome."""
        futures = []
        try:
            items = iter(iterable)
            while chunk := tuple(islice(items, chunksize)):
                futures.append(self.submit(mapper, (func, chunk)))
        except Exception as error:
            futures.append(self.failed(error))
        return futures

    @staticmethod
    def failed(error: BaseException) -> Future:
        """A call that could not be made."""
        future = Future()
        future.set_exception(error)
        return future

    def submit_failure(self, error: Exception) -> Future:
        """Queues the raising of an exception."""
        try:
            return self.submit(_raise, error)
        except ValueError:  # the pool was terminated meanwhile
            return self.failed(error)

    def _fail_queued(self, error: BaseException) -> None:
        for future in self.queue.drain():
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _abandon_items(self, error: BaseException) -> None:
        for mapped in list(self._mapped):
            mapped.abandon(error)

    def initializer_failed(self, error: BaseException) -> None:
        """Every call fails from now on. (The standard library starts workers for ever that fail in turn.)"""
        self.broken = RuntimeError(f"the initializer of a thread pool's worker failed: {error!r}; no task can run")
        self.broken.__cause__ = error
        self._fail_queued(self.broken)

    # The end

    def close(self, feeding: Callable[[], bool]) -> None:
        """Lets the workers end when the queue is empty, and what feeds it is done."""
        self._closing = True  # before the question: whoever feeds asks in the other order
        if not feeding():
            self._close_queue()

    def feeds_done(self) -> None:
        """Called when imap's feeds have all been read."""
        if self._closing:
            self._close_queue()

    def _close_queue(self) -> None:
        self.queue.close()
        self._finished.put(None)

    def dismiss(self) -> None:
        """Fails what has not begun, and lets the workers end. (The standard library leaves get() waiting for ever.)"""
        self.terminated = self._closing = True
        self._close_queue()
        ended = PoolEndedError("the pool was terminated before the task had begun")
        self._fail_queued(ended)
        self._abandon_items(ended)

    @staticmethod
    def leave(staff: Staff) -> None:
        """The pool was collected, and what was asked for is still done; or the interpreter ends."""
        if util._exiting:  # type: ignore[attr-defined]
            staff.dismiss()
        else:
            staff.close(lambda: False)

    # Callbacks

    def will_tell(self, result: ApplyResult) -> Callable[[Any], None]:
        """What to call once the result is there: its callback will run in the results handler."""
        with self._lock:
            self._untold += 1
            if self._results_handler is None:
                self._results_handler = threading.Thread(target=self._handle_results, daemon=True)
                self._results_handler.start()
        untold = [result]  # emptied: a result refers to its futures, and they to what they were to call
        return lambda _future: self._finished.put(untold.pop())

    def _handle_results(self) -> None:
        ending = False
        while not ending or self._untold > 0:
            result = self._finished.get()
            if result is None:
                ending = True
                continue
            result._tell(run_callback=not self.terminated)
            del result
            with self._lock:
                self._untold -= 1

    def join_results_handler(self) -> None:
        """After close() or dismiss()."""
        if self._results_handler is not None:
            self._results_handler.join()

    # The threads

    def worker(self, initializer: Callable[..., object] | None, initargs: Iterable[Any]) -> None:
        """A worker thread's life. (Its function's name is in the thread's.)"""
        if initializer is not None:
            try:
                initializer(*initargs)
            except BaseException as error:
                self.initializer_failed(error)
                raise
        try:
            self.queue.work(None)
        except BaseException:
            _base.LOGGER.critical("Exception in worker", exc_info=True)
