"""multiprocessing.pool.ThreadPool on the native pool of threads.

A call is a task of the C++ pool and a native future; there is no thread that hands tasks out, none that starts workers
anew, and one that hands results in only where there are callbacks to run.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from multiprocessing import get_context, util
from multiprocessing import pool as stock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace
    from triga._threads.futures import Future
    from triga._threads.thread_pool_results import IMapIterator, UnorderedItemsIterator
    from triga._threads.thread_pool_staff import Staff

StockThreadPool = stock.ThreadPool

# Methods that are the machinery of the standard library's pool: a subclass that brings its own gets that machinery.
MACHINERY = (
    "_setup_queues",
    "_repopulate_pool",
    "_repopulate_pool_static",
    "_maintain_pool",
    "_handle_workers",
    "_handle_tasks",
    "_handle_results",
    "_get_tasks",
    "_get_sentinels",
    "_get_worker_sentinels",
    "_terminate_pool",
    "_help_stuff_finish",
    "_guarded_task_generation",
    "_wait_for_updates",
)
# What imap submits in the caller's thread: these cannot block, and need no thread, unless they are long.
SHORT = 1000
# Sequences whose iteration runs nobody's code.
PLAIN = (list, tuple, range)


def brings_machinery(kind: type) -> bool:
    """Whether a subclass of ThreadPool, or something that it mixes in before it, replaces the stock machinery."""
    before = kind.__mro__[: kind.__mro__.index(ThreadPool)]
    return any(name in vars(each) for each in before for name in MACHINERY)


class ThreadPool(StockThreadPool):
    """A pool of worker threads, as :class:`multiprocessing.pool.ThreadPool`."""

    _staff: Staff | None = None

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        if brings_machinery(type(self)):
            super().__init__(processes, initializer, initargs)
            return
        self._pool: list[Any] = []
        self._state = stock.INIT
        self._ctx = get_context()
        self._change_notifier = None
        self._maxtasksperchild = None
        self._initializer = initializer
        self._initargs = initargs
        if processes is None:
            processes = getattr(os, "process_cpu_count", os.cpu_count)() or 1
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = processes
        # Now, not with the module, of which a program of processes imports all as well.
        from triga._processes.feeder import Feeder
        from triga._threads.thread_pool_staff import Staff

        self._staff = staff = Staff()
        self._feeder = Feeder(staff.feeds_done)
        try:
            for _ in range(processes):
                self._pool.append(self._start_worker(staff))
        except BaseException:
            staff.dismiss()
            raise
        self._terminate = util.Finalize(self, Staff.leave, args=(staff,), exitpriority=15)
        self._state = stock.RUN

    def _start_worker(self, staff: Staff) -> Any:
        thread = self.Process(self._ctx, target=staff.worker, args=(self._initializer, self._initargs))
        thread.name = thread.name.replace("Process", "PoolWorker")
        thread.daemon = True
        thread.start()
        util.debug("added worker")
        return thread

    def apply_async(
        self,
        func: Any,
        args: Any = (),
        kwds: Any = {},  # noqa: B006 - the original's signature
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> Any:
        """Calls ``func(*args, **kwds)`` in a worker; returns an ApplyResult without waiting."""
        staff = self._staff
        if staff is None:
            return super().apply_async(func, args, kwds, callback, error_callback)
        self._check_running()  # type: ignore[attr-defined]
        return staff.single_result(self, staff, [staff.submit(func, *args, **kwds)], callback, error_callback)

    def _map_async(
        self,
        func: Any,
        iterable: Any,
        mapper: Any,
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> Any:
        staff = self._staff
        if staff is None:
            return super()._map_async(  # type: ignore[misc]
                func, iterable, mapper, chunksize, callback, error_callback
            )
        self._check_running()  # type: ignore[attr-defined]
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        size = len(iterable)
        if chunksize is None:
            chunksize, extra = divmod(size, len(self._pool) * 4)
            chunksize += bool(extra)
        # Of these the iteration runs nobody's code.
        if size and chunksize == 1 and mapper is stock.mapstar and type(iterable) in PLAIN:  # type: ignore[attr-defined]
            items = staff.map_items(func, iterable, len(self._pool))
            return staff.items_result(self, staff, items, callback, error_callback)
        futures: list[Future] = []
        if size and chunksize > 0:
            futures = staff.submit_chunks(func, iterable, mapper, chunksize)
        return staff.mapped_result(self, staff, futures, callback, error_callback)

    def imap(self, func: Any, iterable: Iterable[Any], chunksize: Any = 1) -> Any:
        """As map, but an iterator, and the items are taken one by one."""
        if self._staff is None:
            return super().imap(func, iterable, chunksize)
        return self._begin_imap(self._staff.ordered_results, func, iterable, chunksize)

    def imap_unordered(self, func: Any, iterable: Iterable[Any], chunksize: Any = 1) -> Any:
        """As imap, with results in the order in which they come."""
        if self._staff is None:
            return super().imap_unordered(func, iterable, chunksize)
        return self._begin_imap(self._staff.unordered_results, func, iterable, chunksize)

    def _begin_imap(self, kind: type[IMapIterator], func: Any, iterable: Any, chunksize: int) -> Any:
        staff = self._staff
        assert staff is not None
        self._check_running()  # type: ignore[attr-defined]
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        result: Any
        if kind is staff.unordered_results and chunksize == 1 and type(iterable) in PLAIN:
            result = staff.unordered_items(self)
            feed = partial(_feed_items, staff, result, func, iterable, len(self._pool))
        else:
            result = kind(self)
            feed = partial(_feed_imap, staff, result, func, iterable, chunksize)
        if type(iterable) in PLAIN and len(iterable) <= SHORT:
            feed()
        else:
            self._feeder.add(feed)
        return result if chunksize == 1 else (item for chunk in result for item in chunk)

    def close(self) -> None:
        """No more calls; the workers end when all that was asked for is done."""
        staff = self._staff
        if staff is None:
            super().close()
            return
        util.debug("closing pool")
        if self._state == stock.RUN:
            self._state = stock.CLOSE
            staff.close(lambda: self._feeder.busy)

    def terminate(self) -> None:
        """Calls that have not begun fail; the workers end after what they run now."""
        if self._staff is None:
            super().terminate()
            return
        util.debug("terminating pool")
        self._state = stock.TERMINATE
        self._staff.dismiss()
        self._terminate.cancel()

    def join(self) -> None:
        """Waits for the workers to end, after close() or terminate()."""
        staff = self._staff
        if staff is None:
            super().join()
            return
        util.debug("joining pool")
        if self._state == stock.RUN:
            raise ValueError("Pool is still running")
        if self._state not in (stock.CLOSE, stock.TERMINATE):
            raise ValueError("In unknown state")
        self._feeder.join()
        for thread in self._pool:
            thread.join()
        staff.join_results_handler()


def _feed_imap(staff: Staff, result: IMapIterator, func: Any, iterable: Iterable[Any], chunksize: int) -> None:
    try:
        if chunksize == 1:
            for item in iterable:
                result._add(staff.submit(func, item))
                if staff.terminated:
                    return
        else:
            items = iter(iterable)
            while chunk := tuple(islice(items, chunksize)):
                result._add(staff.submit(stock.mapstar, (func, chunk)))  # type: ignore[attr-defined]
                if staff.terminated:
                    return
    except Exception as error:
        # Behind what the iterable gave before.
        result._add(staff.submit_failure(error))
    finally:
        result._end()


def _feed_items(staff: Staff, result: UnorderedItemsIterator, func: Any, items: Sequence[Any], workers: int) -> None:
    """The same for results in any order: workers share the items, a part of them at a time."""
    try:
        for at in range(0, len(items), SHORT):
            part = items[at : at + SHORT]
            mapped = staff.map_items(func, part, workers, result.put, staff.failure)
            result.part_begins()
            mapped.done.add_done_callback(result.part_is_over)
            if staff.terminated:
                return
    finally:
        result.part_is_over()


def patch_pool(module: ModuleType, replace: Replace) -> None:
    """Puts the native ThreadPool into multiprocessing.pool."""
    ThreadPool.__module__ = "multiprocessing.pool"
    replace(module, "ThreadPool", ThreadPool)
