"""ThreadPoolExecutor on the native pool: here is what runs for each executor and each thread, not for each task."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from concurrent.futures import _base
from itertools import count

import triga._threads.futures  # noqa: F401  (names the class that submit() makes)
from triga import _core
from triga._mapping import results_of
from triga._patch import native_class
from triga._threads.options import SubmitOptions, check_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace

# 3.11 counts a worker as idle after each task, later versions when it finds the queue empty.
_IDLE_AFTER_EACH_TASK = sys.version_info < (3, 12)
# 3.14 lets a subclass say in which context its tasks run.
_HAS_CONTEXTS = sys.version_info >= (3, 14)
_processors: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)  # 3.13 has the former


def report_worker_error(error: BaseException) -> None:
    """Logs what ended a task in an unforeseen way."""
    _base.LOGGER.critical("Exception in worker", exc_info=error)


def _worker(
    executor_reference: weakref.ref[Any],
    queue: _core.WorkQueue,
    initialize: Callable[[], object],
    run: Callable[[Any], object] | None,
    finalize: Callable[[], object],
) -> None:
    try:
        initialize()
    except BaseException:
        _base.LOGGER.critical("Exception in initializer:", exc_info=True)
        executor = executor_reference()
        if executor is not None:
            executor._initializer_failed()
        return
    try:
        if queue.work(run):
            executor = executor_reference()
            if executor is not None:
                executor._threads.discard(threading.current_thread())
    except BaseException:
        _base.LOGGER.critical("Exception in worker", exc_info=True)
    finally:
        finalize()


def _nothing() -> None:
    pass


class _IdleTokens:
    """``_idle_semaphore``: the pool's count of workers that a submit need not start."""

    def __init__(self, queue: _core.WorkQueue) -> None:
        self._queue = queue

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Takes a token if there is one; never waits."""
        return self._queue.take_idle_token()

    def release(self, n: int = 1) -> None:
        """Gives tokens back."""
        for _ in range(n):
            self._queue.give_idle_token()


def make_executor_class(module: ModuleType) -> type:
    """The native ThreadPoolExecutor for this copy of ``concurrent.futures.thread``."""
    stock: Any = module.ThreadPoolExecutor

    class ThreadPoolExecutor(_core.ExecutorCore, _base.Executor):
        __doc__ = stock.__doc__

        # Names threads where no prefix was given.
        _counter = stock._counter if "_counter" in vars(stock) else count().__next__

        def __init__(
            self,
            max_workers: int | None = None,
            thread_name_prefix: str = "",
            initializer: Callable[..., object] | None = None,
            initargs: tuple[Any, ...] = (),
            *,
            max_queue: int | None = None,
            idle_timeout: float | None = None,
            copy_context: bool = False,
            **ctxkwargs: Any,
        ) -> None:
            check_limits(max_queue, idle_timeout)
            if max_workers is None:
                max_workers = min(32, (_processors() or 1) + 4)
            if max_workers <= 0:
                raise ValueError("max_workers must be greater than 0")
            resolve = self._choose_context(initializer, initargs, ctxkwargs)
            self._max_workers = max_workers
            self._threads: set[threading.Thread] = set()
            self._thread_name_prefix = thread_name_prefix or f"ThreadPoolExecutor-{self._counter()}"
            more = (max_queue, idle_timeout, bool(copy_context))
            queue = self._open(max_workers, _IDLE_AFTER_EACH_TASK, module.__dict__, resolve, *more)
            # Workers that come and go would be given the same names again.
            self._numbers = None if idle_timeout is None else count()
            self._attendant: threading.Thread | None = None
            self._idle_semaphore = _IdleTokens(queue)
            self._shutdown_lock = threading.Lock()

        __init__.__doc__ = stock.__init__.__doc__

        def _choose_context(
            self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...], ctxkwargs: dict[str, Any]
        ) -> Callable[..., Any] | None:
            """Sets up the worker context; its resolve function, if tasks have to go through one."""
            this: Any = type(self)
            own = _HAS_CONTEXTS and this.prepare_context.__func__ is not _prepare_context
            if own or ctxkwargs:
                prepared = this.prepare_context(initializer, initargs, **ctxkwargs)
                self._create_worker_context, self._resolve_work_item_task = prepared
                resolve: Callable[..., Any] = self._resolve_work_item_task
                return resolve
            if initializer is not None and not callable(initializer):
                raise TypeError("initializer must be a callable")
            self._initializer = initializer
            self._initargs = initargs
            self._create_worker_context = None
            return None

        def _refuse(self) -> None:
            """Raises why no task can be submitted."""
            if self._broken:
                raise getattr(self, "BROKEN", module.BrokenThreadPool)(self._broken)
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

        def _worker_functions(self) -> tuple[Any, Any, Any]:
            if self._create_worker_context is not None:
                context = self._create_worker_context()
                return context.initialize, context.run, context.finalize
            initializer, initargs = self._initializer, self._initargs
            if initializer is None:
                return _nothing, None, _nothing
            return (lambda: initializer(*initargs)), None, _nothing

        def _adjust_thread_count(self) -> None:
            """Starts one more worker. Called by submit() when no worker is idle."""
            with self._shutdown_lock, module._global_shutdown_lock:
                if module._shutdown:
                    raise RuntimeError("cannot schedule new futures after interpreter shutdown")
                number = len(self._threads) if self._numbers is None else next(self._numbers)
                thread = threading.Thread(
                    name=f"{self._thread_name_prefix or self}_{number}",
                    target=_worker,
                    args=(weakref.ref(self), self._work_queue, *self._worker_functions()),
                )
                thread.start()
                self._threads.add(thread)
                module._threads_queues[thread] = self._work_queue

        def _attend(self) -> None:
            """Starts the thread that finishes native tasks and ends overdue ones, where there is none yet."""
            with self._shutdown_lock, module._global_shutdown_lock:
                if self._attendant is None and not self._shutdown and not module._shutdown:
                    name = f"{self._thread_name_prefix}_attendant"
                    self._attendant = threading.Thread(name=name, target=self._work_queue.attend)
                    self._attendant.start()
                    module._threads_queues[self._attendant] = self._work_queue

        def options(
            self, *, priority: int = 0, deadline: float | None = None, timeout: float | None = None
        ) -> SubmitOptions:
            return SubmitOptions(self, priority, deadline, timeout)

        options.__doc__ = SubmitOptions.__doc__

        def submit_native(self, function: Any, /, *args: Any) -> Any:
            return SubmitOptions(self, 0, None, None).submit_native(function, *args)

        submit_native.__doc__ = SubmitOptions.submit_native.__doc__

        def _initializer_failed(self) -> None:
            with self._shutdown_lock:
                self._broken = "A thread initializer failed, the thread pool is not usable anymore"
                error = getattr(self, "BROKEN", module.BrokenThreadPool)
                for future in self._work_queue.drain():
                    if future.set_running_or_notify_cancel():
                        future.set_exception(error(self._broken))

        def map(
            self,
            fn: Callable[..., Any],
            *iterables: Iterable[Any],
            timeout: float | None = None,
            chunksize: int = 1,
            buffersize: int | None = None,
        ) -> Iterator[Any]:
            """Returns an iterator over fn(*args) for each args of zip(*iterables), in order; see the standard's."""
            calls = zip(*iterables, strict=False)
            return results_of(self, self._submit_all, fn, calls, timeout, buffersize)

        def _submit_all(self, fn: Callable[..., Any], calls: Iterator[Any]) -> list[Any]:
            # Whoever replaced submit(), on the instance or in a class, sees every task.
            if "submit" in self.__dict__ or type(self).submit is not _core.ExecutorCore.submit:
                return [self.submit(fn, *args) for args in calls]
            futures: list[Any] = self._submit_each(fn, calls)
            return futures

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            with self._shutdown_lock:
                self._shutdown = True
                if cancel_futures:
                    for future in self._work_queue.drain():
                        # Told to those who wait for it, too, which the standard library leaves waiting for ever.
                        if future.cancel():
                            future.set_running_or_notify_cancel()
            if wait:
                for thread in tuple(self._threads):
                    thread.join()
                if self._attendant is not None:
                    self._attendant.join()

        shutdown.__doc__ = stock.shutdown.__doc__

    ThreadPoolExecutor.__module__ = module.__name__
    ThreadPoolExecutor.__qualname__ = "ThreadPoolExecutor"
    if _HAS_CONTEXTS:
        _prepare_context = stock.prepare_context.__func__
        ThreadPoolExecutor.BROKEN = stock.BROKEN  # type: ignore[attr-defined]
        ThreadPoolExecutor.prepare_context = classmethod(_prepare_context)  # type: ignore[attr-defined]
    return ThreadPoolExecutor


def __getattr__(name: str) -> object:
    # triga.ThreadPoolExecutor. Not at import: this module is imported to patch a module that is not yet in place.
    if name != "ThreadPoolExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from concurrent.futures import thread

    return native_class(thread, make_executor_class)


def patch_thread_module(module: ModuleType, replace: Replace) -> None:
    """Puts the native ThreadPoolExecutor into ``concurrent.futures.thread`` and its package."""
    native = native_class(module, make_executor_class)
    replace(module, "ThreadPoolExecutor", native)
    package = sys.modules.get("concurrent.futures")
    if package is not None and sys.modules.get(module.__name__, module) is module:
        replace(package, "ThreadPoolExecutor", native)
