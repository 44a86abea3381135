"""multiprocessing.pool.Pool on the native core.

What not every pool needs (feeding an iterator, a progress bar, failures) is imported by the call that needs it: a short
program's time is mostly imports.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing import get_context, util
from multiprocessing import pool as stock
from types import FunctionType, MethodType

from triga import _core
from triga._processes.crew import BACKLOG, Crew
from triga._processes.limits import check_memory_limit
from triga._processes.paces import Paces
from triga._processes.pickling import main_is_out_of_reach
from triga._processes.results import ApplyResult, IMapIterator, IMapUnorderedIterator, MapResult
from triga._processes.terms import PLAIN, Terms, terms_of
from triga._processes.worker import pool_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace
    from triga._processes.feeder import Feed, Feeder
    from triga._processes.results import Callback

StockPool = stock.Pool

CALL, MAP, STARMAP = 1, 2, 3

# Methods that are the machinery of the standard library's Pool: a subclass that brings its own gets that machinery.
MACHINERY = (
    "_setup_queues",
    "_repopulate_pool",
    "_repopulate_pool_static",
    "_maintain_pool",
    "_handle_workers",
    "_handle_tasks",
    "_handle_results",
    "_get_tasks",
    "_terminate_pool",
    "_help_stuff_finish",
    "_guarded_task_generation",
)


def brings_machinery(kind: type) -> bool:
    """Whether a subclass of Pool, or something that it mixes in before Pool, replaces the stock machinery."""
    before = kind.__mro__[: kind.__mro__.index(Pool)]
    return any(name in vars(each) for each in before for name in MACHINERY)


class Pool(StockPool):
    """A pool of worker processes, as :class:`multiprocessing.pool.Pool`.

    A worker that dies fails the task that it ran, with WorkerLostError, and is replaced. There is no helper thread
    while the caller waits for its results; one collects them when nobody does and runs callbacks, one iterates what
    imap was given.
    """

    _crew: Crew | None = None
    _feeder: Feeder | None = None  # from the first feed on
    _terms: Terms = PLAIN
    _memory_limit: int | None = None
    _wrap_exception: bool

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        measure: bool | None = None,
        memory_limit: int | None = None,
    ) -> None:
        # The standard library's ThreadPool is no subclass of this class and calls Pool.__init__ by the module's name.
        if not isinstance(self, Pool) or brings_machinery(type(self)):
            StockPool.__init__(self, processes, initializer, initargs, maxtasksperchild, context)
            return
        self._pool: list[Any] = []
        self._state = stock.INIT
        self._ctx = context or get_context()
        self._change_notifier = None
        self._maxtasksperchild = maxtasksperchild
        self._initializer = initializer
        self._initargs = initargs
        if processes is None:
            processes = getattr(os, "process_cpu_count", os.cpu_count)() or 1
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        check_memory_limit(memory_limit)
        self._memory_limit = memory_limit
        self._terms = terms_of(timeout, retries, measure)
        self._processes = processes
        self._paces = Paces()
        self._crew = crew = Crew(self._hire, processes, main_is_out_of_reach(self._ctx))
        self._pool = crew.processes
        self._closing = threading.Event()
        try:
            self._repopulate_pool()
        except Exception:
            for process in self._pool:
                if process.exitcode is None:
                    process.terminate()
            for process in self._pool:
                process.join()
            crew.release()
            raise
        self._terminate = util.Finalize(self, Crew.dismiss, args=(crew,), exitpriority=15)
        self._state = stock.RUN

    # Workers

    def _hire(self) -> None:
        crew = self._crew
        assert crew is not None
        if self._state == stock.RUN or (self._state == stock.CLOSE and crew.core.outstanding()):
            self._repopulate_pool()

    def _repopulate_pool(self) -> None:
        crew = self._crew
        if crew is None:
            super()._repopulate_pool()  # type: ignore[misc]
            return
        with crew.repairing:
            for _ in range(self._processes - len(self._pool)):
                self._pool.append(crew.start_worker(self._make_worker, self._maxtasksperchild or 0))
                util.debug("added worker")

    def _make_worker(self, link: Any) -> Any:
        crew = self._crew
        assert crew is not None
        arguments = (
            link,
            crew.portable(self._initializer),
            crew.portable(self._initargs),
            self._maxtasksperchild,
            self._wrap_exception,
            self._memory_limit,
        )
        worker = self.Process(self._ctx, target=pool_worker, args=arguments)
        worker.name = worker.name.replace("Process", "PoolWorker")
        worker.daemon = True
        return worker

    # Calls

    def _submit(self, result: Any, index: int, tag: int, task: tuple[Any, ...]) -> None:
        crew = self._crew
        assert crew is not None
        if crew.broken is not None:
            result._fail(index, crew.broken)
            return
        try:
            crew.core.submit(result._batch, index, self._terms.core(tag), task)
        except Exception as error:
            result._fail(index, error)

    def apply(self, func: Any, args: Any = (), kwds: Any = {}) -> Any:  # noqa: B006 - the original's signature
        """Calls ``func(*args, **kwds)`` in a worker and returns what it returns."""
        if self._crew is None:
            return super().apply(func, args, kwds)
        self._check_running()  # type: ignore[attr-defined]
        result = ApplyResult(self, self._crew, func)
        self._submit(result, 0, CALL, (func, args, kwds))
        return self._waited(result)

    def apply_async(
        self,
        func: Any,
        args: Any = (),
        kwds: Any = {},  # noqa: B006 - the original's signature
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> Any:
        """The same without waiting: returns an ApplyResult."""
        if self._crew is None:
            return super().apply_async(func, args, kwds, callback, error_callback)
        self._check_running()  # type: ignore[attr-defined]
        result = ApplyResult(self, self._crew, func, callback, error_callback)
        self._submit(result, 0, CALL, (func, args, kwds))
        self._crew.collect_in_background()
        return result

    def options(
        self, *, timeout: float | None = None, retries: int | None = None, measure: bool | None = None
    ) -> PoolView:
        """The pool with terms for the calls that are made through what this returns.

        Args:
            timeout: seconds that a task (a call, or a chunk of map's) may run; then its worker is killed and replaced,
                and the call raises TaskTimeoutError.
            retries: how often a task that can be run twice is begun again after its worker died.
            measure: whether the ``metadata`` of apply_async's result says what the task took.

        Raises:
            ValueError: for a timeout that is not positive, or negative retries.
        """
        if self._crew is None:
            raise NotImplementedError(f"{type(self).__name__} brings its own machinery, which knows no options")
        return PoolView(self, terms_of(timeout, retries, measure, self._terms))

    def map(self, func: Any, iterable: Any, chunksize: int | None = None, *, progress: bool = False) -> Any:
        """Calls ``func`` for every item in the workers and returns the list of results.

        ``progress``: shows a progress bar (tqdm) meanwhile.
        """
        if self._crew is None:
            return super().map(func, iterable, chunksize)
        if progress:
            items = iterable if hasattr(iterable, "__len__") else list(iterable)
            # Not in the chunks of map, which is told nothing before the end; the bar is to move.
            return list(self.imap(func, items, chunksize or 1, progress=True))
        return self._mapped(func, iterable, MAP, chunksize)

    def starmap(self, func: Any, iterable: Any, chunksize: int | None = None) -> Any:
        """As map, but the items are tuples of arguments."""
        if self._crew is None:
            return super().starmap(func, iterable, chunksize)
        return self._mapped(func, iterable, STARMAP, chunksize)

    def _map_async(
        self,
        func: Any,
        iterable: Any,
        mapper: Any,
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> Any:
        if self._crew is None:
            return super()._map_async(  # type: ignore[misc]
                func, iterable, mapper, chunksize, callback, error_callback
            )
        tag = STARMAP if mapper is stock.starmapstar else MAP  # type: ignore[attr-defined]
        result = self._begin_map(func, iterable, tag, chunksize, callback, error_callback)
        self._crew.collect_in_background()
        return result

    def _mapped(self, func: Any, iterable: Any, tag: int, chunksize: int | None) -> list[Any]:
        begun = time.monotonic()
        results: list[Any] = self._waited(self._begin_map(func, iterable, tag, chunksize))
        self._paces.note(func, len(results), len(self._pool), time.monotonic() - begun)
        return results

    def _waited(self, result: Any) -> Any:
        crew = self._crew
        assert crew is not None
        try:
            return result.get()
        finally:
            # The wait was broken off, say by Ctrl-C, and work is still out.
            if not result._settled:
                crew.collect_in_background()

    def _begin_map(
        self,
        func: Any,
        iterable: Any,
        tag: int,
        chunksize: int | None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> MapResult:
        crew = self._crew
        assert crew is not None
        self._check_running()  # type: ignore[attr-defined]
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        size = len(iterable)
        if chunksize is None:
            plan = self._paces.plan(func, size, max(len(self._pool), 1))
        else:
            plan = _core.ChunkPlan(max(chunksize, 1), chunksize, 1)
        chunks = plan.count(size) if chunksize is None or chunksize > 0 else 0
        result = MapResult(self, crew, func, chunks, callback, error_callback)
        terms = self._terms.core(tag)
        if not chunks:
            return result
        if crew.broken is not None:
            for index in range(chunks):
                result._fail(index, crew.broken)
        elif type(iterable) not in (list, tuple, range):
            from triga._processes.feeds import feed_iterable_map

            self._feed(partial(feed_iterable_map, crew, result, terms, func, iterable, plan, chunks))
        else:
            start, index = crew.core.submit_chunks(
                result._batch, 0, terms, func, iterable, plan, 0, BACKLOG, result._fail
            )
            if start < size:
                from triga._processes.feeds import feed_map

                self._feed(partial(feed_map, crew, result, terms, func, iterable, plan, start, index))
        return result

    def imap(self, func: Any, iterable: Iterable[Any], chunksize: Any = 1, *, progress: bool = False) -> Any:
        """As map, but an iterator, and the items are taken one by one."""
        if self._crew is None:
            return super().imap(func, iterable, chunksize)
        return self._begin_shown(IMapIterator, func, iterable, chunksize, progress)

    def imap_unordered(self, func: Any, iterable: Iterable[Any], chunksize: Any = 1, *, progress: bool = False) -> Any:
        """As imap, with results in the order in which they come."""
        if self._crew is None:
            return super().imap_unordered(func, iterable, chunksize)
        return self._begin_shown(IMapUnorderedIterator, func, iterable, chunksize, progress)

    def _begin_shown(
        self, kind: type[IMapIterator], func: Any, iterable: Iterable[Any], chunksize: int, progress: bool
    ) -> Any:
        if not progress:
            return self._begin_imap(kind, func, iterable, chunksize)
        from triga._processes.progress import check_progress, shown, total_of

        check_progress(progress)
        return shown(self._begin_imap(kind, func, iterable, chunksize), total_of(iterable))

    def _begin_imap(self, kind: type[IMapIterator], func: Any, iterable: Iterable[Any], chunksize: int) -> Any:
        crew = self._crew
        assert crew is not None
        self._check_running()  # type: ignore[attr-defined]
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        from triga._processes.feeds import feed_imap

        result = kind(self, crew, func)
        terms = self._terms.core(CALL if chunksize == 1 else MAP)
        feed = partial(feed_imap, crew, result, terms, func, iterable, chunksize)
        # These cannot block, and need no thread, unless they are long.
        if type(iterable) in (list, tuple, range) and len(iterable) <= 1000:  # type: ignore[arg-type]
            feed()
        else:
            self._feed(feed)
        crew.collect_in_background()
        return result if chunksize == 1 else (item for chunk in result for item in chunk)

    def _feed(self, feed: Feed) -> None:
        """Has the feeder's thread run ``feed()``, after what it was given before."""
        from triga._processes.feeder import Feeder
        from triga._processes.feeds import feeds_done

        crew = self._crew
        assert crew is not None
        with crew.repairing:
            if self._feeder is None:
                self._feeder = Feeder(partial(feeds_done, crew, self._closing))
        self._feeder.add(feed)

    # The end

    def close(self) -> None:
        """No more calls; the workers exit when all that was asked for is done."""
        if self._crew is None:
            super().close()
            return
        util.debug("closing pool")
        if self._state == stock.RUN:
            self._state = stock.CLOSE
            self._closing.set()
            if self._feeder is None or not self._feeder.busy:
                self._crew.core.finish()

    def terminate(self) -> None:
        """Ends the workers now; calls that are out fail."""
        util.debug("terminating pool")
        self._state = stock.TERMINATE
        self._terminate()

    def join(self) -> None:
        """Waits for the workers to exit, after close() or terminate()."""
        crew = self._crew
        if crew is None:
            super().join()
            return
        util.debug("joining pool")
        if self._state == stock.RUN:
            raise ValueError("Pool is still running")
        if self._state not in (stock.CLOSE, stock.TERMINATE):
            raise ValueError("In unknown state")
        if self._state == stock.CLOSE:
            if self._feeder is not None:
                self._feeder.join()
            crew.wait(crew.core.wait_idle, None)
        crew.core.finish()
        crew.stop_collecting()
        for process in list(self._pool):
            process.join()


class PoolView:
    """``pool.options(...)``: the pool's calls, on terms of their own."""

    def __init__(self, pool: Pool, terms: Terms) -> None:
        self._viewed = pool
        self._terms = terms

    def __getattr__(self, name: str) -> Any:
        if name not in _CALLS and not name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}; calls are {', '.join(_CALLS)}")
        # The pool's own methods, which find the terms here and all else at the pool.
        function = getattr(type(self._viewed), name, None)
        return MethodType(function, self) if isinstance(function, FunctionType) else getattr(self._viewed, name)


_CALLS = ("apply", "apply_async", "imap", "imap_unordered", "map", "map_async", "starmap", "starmap_async")


def patch_pool(module: ModuleType, replace: Replace) -> None:
    """Puts the native Pool into multiprocessing.pool; ThreadPool keeps the original as its base."""
    Pool.__module__ = "multiprocessing.pool"
    replace(module, "Pool", Pool)
