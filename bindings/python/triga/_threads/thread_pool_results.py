"""The results of a ThreadPool's calls, over native futures."""

from __future__ import annotations

import builtins
import queue
import sys
import threading
from collections import deque
from multiprocessing import TimeoutError
from multiprocessing import pool as stock
from time import monotonic

from triga import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    from triga._core import MappedItems
    from triga._threads.futures import Future
    from triga._threads.thread_pool_staff import Staff


class ApplyResult(stock.ApplyResult):  # type: ignore[type-arg]
    """The result of apply_async."""

    def __init__(
        self,
        pool: Any,
        staff: Staff,
        futures: list[Future],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._pool = pool  # a pool lives as long as somebody waits for its results
        self._futures = futures
        self._error: BaseException | None = None
        self._callback = callback
        self._error_callback = error_callback
        # With callbacks the result is there when they have run.
        self._event: threading.Event | None = None
        if callback is not None or error_callback is not None:
            self._event = threading.Event()
            self._call_when_done(staff.will_tell(self))

    def _call_when_done(self, tell: Callable[[Any], None]) -> None:
        self._futures[0].add_done_callback(tell)

    def _wait_for_futures(self, timeout: float | None) -> bool:
        """Whether all are done within the time; notes the first failure."""
        try:
            self._error = self._futures[0].exception(timeout)
        except builtins.TimeoutError:  # a future's; the name is multiprocessing's here
            return False
        self._pool = None
        return True

    def _value_of_futures(self) -> Any:
        return self._futures[0].result()

    def _tell(self, run_callback: bool) -> None:
        """In the results handler: runs the callback, then lets those go who wait."""
        try:
            self._wait_for_futures(None)
            if not run_callback:
                return
            if self._error is not None:
                if self._error_callback is not None:
                    self._error_callback(self._error)
            elif self._callback is not None:
                self._callback(self._value_of_futures())
        except Exception:
            # The standard library's pool is dead after this; this one says it and goes on.
            sys.excepthook(*sys.exc_info())
        finally:
            assert self._event is not None
            self._event.set()

    def ready(self) -> bool:
        """Whether the call has completed."""
        if self._event is not None:
            return self._event.is_set()
        return all(future.done() for future in self._futures)

    def successful(self) -> bool:
        """Whether the call completed without raising; ValueError if it has not completed."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        self._wait_for_futures(None)
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Waits until the result is there or the time has passed."""
        self._wait(timeout)

    def _wait(self, timeout: float | None) -> bool:
        if self._event is not None:
            return self._event.wait(timeout)
        return self._wait_for_futures(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The result, or the exception that the task raised; TimeoutError if it is not there in time."""
        if not self._wait(timeout):
            raise TimeoutError
        self._wait_for_futures(None)
        if self._error is not None:
            raise self._error
        return self._value_of_futures()


class MapResult(ApplyResult):
    """The result of map_async and starmap_async: a list, or the exception that came first."""

    def __init__(self, pool: Any, staff: Staff, futures: list[Future], *callbacks: Any) -> None:
        self._complete = False
        super().__init__(pool, staff, futures, *callbacks)

    def _wait_for_futures(self, timeout: float | None) -> bool:
        if not self._complete:
            watch = _core.CompletionWatch(self._futures)
            if not watch.wait(0, False, timeout):
                return False
            if watch.saw_exception:
                self._note_exceptions(watch)
            self._complete = True
            self._pool = None
        return True

    def _note_exceptions(self, in_order_of_completion: Iterable[Future]) -> None:
        for future in in_order_of_completion:
            error = future.exception()
            if error is not None and self._error is None:
                self._error = error

    def _call_when_done(self, tell: Callable[[Any], None]) -> None:
        left = [None] * len(self._futures)
        if not left:
            # The standard library runs no callback for an empty map.
            assert self._event is not None
            self._callback = self._error_callback = None
            self._event.set()
            tell(None)
            return

        def one_done(future: Future) -> None:
            left.pop()  # atomic, unlike counting down
            if not left:
                tell(future)

        for future in self._futures:
            future.add_done_callback(one_done)

    def _value_of_futures(self) -> Any:
        if len(self._futures) == 1:
            return self._futures[0].result()
        return [item for future in self._futures for item in future.result()]


class ItemsResult(ApplyResult):
    """The same for calls of one item each, which workers share."""

    def __init__(self, pool: Any, staff: Staff, items: MappedItems, *callbacks: Any) -> None:
        self._items = items
        super().__init__(pool, staff, [items.done], *callbacks)

    def _wait_for_futures(self, timeout: float | None) -> bool:
        if not super()._wait_for_futures(timeout):
            return False
        self._error = self._items.error
        return True

    def _value_of_futures(self) -> Any:
        return self._items.results()


class Failure:
    """What arrives in the place of a result; without an error there are no more."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class IMapIterator(stock.IMapIterator):  # type: ignore[type-arg]
    """What imap returns: results in the order of the items."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()  # futures; None: there are no more
        self._given_back: deque[Future] = deque()  # by a next() whose time was over

    def _add(self, future: Future) -> None:
        self._arrived.put(future)

    def _end(self) -> None:
        self._arrived.put(None)

    def _take(self, timeout: float | None) -> Any:
        """The next future, which may not be done yet. StopIteration, TimeoutError."""
        try:
            return self._given_back.popleft()
        except IndexError:
            pass
        try:
            future = self._arrived.get(timeout=None if timeout is None else max(timeout, 0))
        except queue.Empty:
            raise TimeoutError from None
        if future is None:
            self._stop()
        return future

    def _stop(self) -> NoReturn:
        self._arrived.put(None)  # for whoever asks next
        self._pool = None
        raise StopIteration

    def next(self, timeout: float | None = None) -> Any:
        """The next result; TimeoutError if it does not come in time."""
        deadline = None if timeout is None else monotonic() + timeout
        future = self._take(timeout)
        try:
            error = future.exception(None if deadline is None else max(deadline - monotonic(), 0))
        except builtins.TimeoutError:
            self._given_back.appendleft(future)
            raise TimeoutError from None
        except BaseException:
            self._given_back.appendleft(future)
            raise
        if error is not None:
            raise error
        return future.result()

    __next__ = next


class IMapUnorderedIterator(IMapIterator):
    """What imap_unordered returns: results as they come."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self._lock = threading.Lock()
        self._added = 0
        self._taken = 0
        self._length: int | None = None

    def _add(self, future: Future) -> None:
        self._added += 1
        future.add_done_callback(self._arrived.put)

    def _end(self) -> None:
        self._length = self._added
        self._arrived.put(None)

    def _take(self, timeout: float | None) -> Any:
        while True:
            if self._taken == self._length:
                self._stop()
            try:
                future = self._arrived.get(timeout=None if timeout is None else max(timeout, 0))
            except queue.Empty:
                raise TimeoutError from None
            if future is None:
                continue  # the length is known now
            with self._lock:
                self._taken += 1
            if self._taken == self._length:
                self._arrived.put(None)  # for others that wait
            return future


class UnorderedItemsIterator(stock.IMapIterator):  # type: ignore[type-arg]
    """What imap_unordered returns for calls of one item each, which workers share: the results as they come."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()  # results, and a Failure in the place of one
        self.put = arrived.put
        self._get = arrived.get
        self._parts = [None]  # those that are under way, and whoever begins them

    def part_begins(self) -> None:
        """Somebody will put() results."""
        self._parts.append(None)

    def part_is_over(self, _: Any = None) -> None:
        """All of a part's results have arrived, or no more parts begin."""
        self._parts.pop()
        if not self._parts:
            self.put(Failure(None))

    def next(self, timeout: float | None = None) -> Any:
        """The next result; TimeoutError if it does not come in time."""
        if timeout is None:
            outcome = self._get()
        else:
            try:
                outcome = self._get(timeout=max(timeout, 0))
            except queue.Empty:
                raise TimeoutError from None
        if type(outcome) is not Failure:
            return outcome
        if outcome.error is not None:
            raise outcome.error
        self.put(outcome)  # for whoever asks next
        self._pool = None
        raise StopIteration

    __next__ = next
