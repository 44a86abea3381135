"""ProcessPoolExecutor on the native core."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from concurrent.futures import _base
from functools import partial
from multiprocessing import get_context, util
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from triga._install import installed_parts
from triga._mapping import results_of
from triga._patch import native_class
from triga._processes.future import NativeFuture, StockFuture
from triga._processes.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from triga._patch import Replace

_processors: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)  # 3.13 has the former

_BROKEN = "A child process terminated abruptly, the process pool is not usable anymore"
_BROKEN_IN_CHILD = "the process pool belongs to the process that this one was forked from"
_LOST = "A process in the process pool was terminated abruptly while the future was running or pending."

# 3.14 has these as module._TERMINATE and module._KILL.
_TERMINATE, _KILL = "terminate", "kill"


class _CallQueue:
    """``executor._call_queue``, of which others use how to wait for its feeder thread. There is none."""

    def close(self) -> None:
        """Nothing to close."""

    def join_thread(self) -> None:
        """Nothing to wait for."""


class _ManagerThread(threading.Thread):
    """Completes futures and replaces workers, until nothing can be submitted any more and all is done."""

    def __init__(self, executor: Any, staff: Staff, module: ModuleType) -> None:
        super().__init__()
        self._executor = weakref.ref(executor, lambda _: staff.wakeup())
        self._staff = staff
        self._lock = executor._shutdown_lock
        self._module: Any = module

    def run(self) -> None:
        """Serves until the end."""
        staff = self._staff
        try:
            while staff.cause is None:
                if self._closing() and not staff.pending:
                    staff.end()
                    return
                how = staff.core.serve()
                if how == "stopped":
                    staff.core.allow_serving()  # before looking, so that what changes meanwhile is seen next time
                staff.core.take_notices()
                if how == "repairs":
                    staff.repair()
                staff.collect()
                staff.feed()
        except BaseException as error:
            staff.cause = "".join(format_exception(error))
        self._break_down()

    def _closing(self) -> bool:
        """Whether no more tasks can come."""
        executor = self._executor()
        return bool(self._module._global_shutdown or executor is None or executor._shutdown_thread)

    def _break_down(self) -> None:
        with self._lock:
            executor = self._executor()
            if executor is not None:
                executor._broken = _BROKEN
                executor._shutdown_thread = True
            del executor
        self._staff.break_down(self._lost)

    def _lost(self) -> BaseException:
        error: BaseException = self._module.BrokenProcessPool(_LOST)
        error.__cause__ = self._module._RemoteTraceback(f"\n'''\n{self._staff.cause}'''")
        return error


def make_executor_class(module: ModuleType) -> type:
    """The native ProcessPoolExecutor for this copy of ``concurrent.futures.process``."""
    stock: Any = module.ProcessPoolExecutor
    names: Any = module

    class ProcessPoolExecutor(_base.Executor):
        __doc__ = stock.__doc__

        def __init__(
            self,
            max_workers: int | None = None,
            mp_context: Any = None,
            initializer: Callable[..., object] | None = None,
            initargs: tuple[Any, ...] = (),
            *,
            max_tasks_per_child: int | None = None,
        ) -> None:
            names._check_system_limits()
            if max_workers is None:
                max_workers = _processors() or 1
            elif max_workers <= 0:
                raise ValueError("max_workers must be greater than 0")
            if mp_context is None:
                mp_context = get_context("spawn") if max_tasks_per_child is not None else get_context()
            forks = mp_context.get_start_method(allow_none=False) == "fork"
            if initializer is not None and not callable(initializer):
                raise TypeError("initializer must be a callable")
            if max_tasks_per_child is not None:
                if not isinstance(max_tasks_per_child, int):
                    raise TypeError("max_tasks_per_child must be an integer")
                if max_tasks_per_child <= 0:
                    raise ValueError("max_tasks_per_child must be >= 1")
                if forks:
                    # A fork would happen while other threads run.
                    raise ValueError(
                        "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method;"
                        " supply a different mp_context."
                    )
            self._max_workers = max_workers
            self._mp_context = mp_context
            self._safe_to_dynamically_spawn_children = not forks
            self._initializer = initializer
            self._initargs = initargs
            self._max_tasks_per_child = max_tasks_per_child
            self._executor_manager_thread: _ManagerThread | None = None
            self._processes: dict[int, Any] | None = {}
            self._shutdown_thread = False
            self._shutdown_lock = threading.Lock()
            self._broken: bool | str = False
            self._call_queue: _CallQueue | None = _CallQueue()
            self._staff: Staff | None = None
            self._future_type: Any = NativeFuture if "threads" in installed_parts() else StockFuture

        __init__.__doc__ = stock.__init__.__doc__

        def _open(self) -> Staff:
            """Makes what the first task needs."""
            assert self._processes is not None
            return Staff(
                self._mp_context.Process,
                self._max_workers,
                self._initializer,
                self._initargs,
                self._max_tasks_per_child,
                self._processes,
            )

        def _start_executor_manager_thread(self, staff: Staff) -> None:
            thread = _ManagerThread(self, staff, module)
            thread.start()
            self._executor_manager_thread = thread
            # The standard module's exit function wakes and joins the thread.
            names._threads_wakeups[thread] = staff

        def _refuse(self) -> None:
            """Raises if no task can be submitted."""
            if self._staff is not None and self._staff.pid != os.getpid():
                self._broken = _BROKEN_IN_CHILD
            if self._broken:
                raise names.BrokenProcessPool(self._broken)
            if self._shutdown_thread:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if names._global_shutdown:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            with self._shutdown_lock:
                self._refuse()
                staff = self._staff
                if staff is None:
                    staff = self._staff = self._open()
                if self._safe_to_dynamically_spawn_children:
                    staff.start_needed(1)
                elif self._executor_manager_thread is None:
                    staff.start_all()
                future = self._future_type()
                index = staff.register(future)
                if self._executor_manager_thread is None:
                    self._start_executor_manager_thread(staff)
            staff.send(index, (fn, args, kwargs or None))
            return future

        submit.__doc__ = _base.Executor.submit.__doc__

        def map(
            self,
            fn: Callable[..., Any],
            *iterables: Iterable[Any],
            timeout: float | None = None,
            chunksize: int = 1,
            buffersize: int | None = None,
        ) -> Iterator[Any]:
            if chunksize < 1:
                raise ValueError("chunksize must be >= 1.")
            calls = zip(*iterables, strict=False)
            if chunksize == 1:
                return results_of(self, self._submit_all, fn, calls, timeout, buffersize)
            chunks = ((chunk,) for chunk in iter(lambda: tuple(itertools.islice(calls, chunksize)), ()))
            many = partial(names._process_chunk, fn)
            results = results_of(self, self._submit_all, many, chunks, timeout, buffersize)
            return names._chain_from_iterable_of_lists(results)  # type: ignore[no-any-return]

        map.__doc__ = stock.map.__doc__

        def _submit_all(self, fn: Callable[..., Any], calls: Iterator[Any]) -> list[Any]:
            return [self.submit(fn, *args) for args in calls]

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            staff = self._staff
            if staff is not None and staff.pid != os.getpid():
                self._shutdown_thread = True  # workers and lock are another process's
                return
            with self._shutdown_lock:
                self._shutdown_thread = True
                thread = self._executor_manager_thread
                self._executor_manager_thread = None
                self._call_queue = None
                self._processes = None
            if staff is None:
                return
            if cancel_futures:
                staff.cancel_waiting()
            staff.wakeup()
            if thread is not None and wait:
                try:
                    thread.join()
                except BaseException:
                    self._executor_manager_thread = thread  # it can be waited for again
                    raise

        shutdown.__doc__ = _base.Executor.shutdown.__doc__

        def _force_shutdown(self, operation: str) -> None:
            if operation not in (_TERMINATE, _KILL):
                raise ValueError(f"Unsupported operation: {operation!r}")
            processes = dict(self._processes or {})
            self.shutdown(wait=False, cancel_futures=True)
            for process in processes.values():
                try:
                    if not process.is_alive():
                        continue
                    if operation == _TERMINATE:
                        process.terminate()
                    else:
                        process.kill()
                except (ValueError, ProcessLookupError):
                    continue  # it has ended, and been closed
                util.debug("%s of worker %s", operation, process.pid)

        def terminate_workers(self) -> None:
            """Terminates the workers (SIGTERM); futures that are pending are cancelled, running ones break."""
            self._force_shutdown(operation=_TERMINATE)

        def kill_workers(self) -> None:
            """Kills the workers (SIGKILL); futures that are pending are cancelled, running ones break."""
            self._force_shutdown(operation=_KILL)

    ProcessPoolExecutor.__module__ = module.__name__
    ProcessPoolExecutor.__qualname__ = "ProcessPoolExecutor"
    return ProcessPoolExecutor


def __getattr__(name: str) -> object:
    # triga.ProcessPoolExecutor. Not at import: this module is imported to patch a module that is not yet in place.
    if name != "ProcessPoolExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from concurrent.futures import process

    return native_class(process, make_executor_class)


def patch_process_module(module: ModuleType, replace: Replace) -> None:
    """Puts the native ProcessPoolExecutor into ``concurrent.futures.process`` and its package."""
    native = native_class(module, make_executor_class)
    replace(module, "ProcessPoolExecutor", native)
    package = sys.modules.get("concurrent.futures")
    if package is not None and sys.modules.get(module.__name__, module) is module:
        replace(package, "ProcessPoolExecutor", native)
