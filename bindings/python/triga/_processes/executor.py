"""ProcessPoolExecutor on the native core."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from concurrent.futures import _base
from multiprocessing import get_context, util
from traceback import format_exception

from triga._install import installed_parts
from triga._patch import native_class
from triga._processes.future import NativeFuture, StockFuture
from triga._processes.limits import check_memory_limit
from triga._processes.options import Options, map_through
from triga._processes.pickling import main_is_out_of_reach
from triga._processes.start import boot_ahead
from triga._processes.terms import Terms, terms_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType
    from typing import Any

    from triga._patch import Replace
    from triga._processes.staff import Staff

# What a worker runs.
_WORKER = ("triga._processes.executor_worker", "triga._processes.link")

_processors: Callable[[], int | None] = getattr(os, "process_cpu_count", os.cpu_count)  # 3.13 has the former

_BROKEN = "A child process terminated abruptly, the process pool is not usable anymore"
_BROKEN_IN_CHILD = "the process pool belongs to the process that this one was forked from"
_LOST = "A process in the process pool was terminated abruptly while the future was running or pending."

_MORE_ARGUMENTS = """
    on_crash: "break" (the default): a worker that dies breaks the executor, as in the standard library;
        "replace": it costs the task that it ran, which fails with WorkerLostError, and is replaced.
    timeout, retries, measure: the terms of all tasks; see options().
    memory_limit: bytes of private memory that a worker may have; what asks for more gets MemoryError.
"""


def _not_yet(*call: Any) -> None:
    """In place of the desk's submit(), where a call has to go the long way."""


def _replaces(on_crash: str | None, terms: Terms) -> bool:
    """Whether crashed workers are replaced. Raises ValueError for what does not go together."""
    if on_crash not in (None, "break", "replace"):
        raise ValueError(f"on_crash must be 'break' or 'replace', not {on_crash!r}")
    if on_crash == "break" and terms.retries:
        raise ValueError("retries need on_crash='replace': a crash that breaks the executor leaves nothing to retry")
    return on_crash == "replace" or (on_crash is None and bool(terms.retries))


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
                if self._closing():
                    staff.desk.set_open(False)
                    if not len(staff.desk):
                        staff.end()
                        return
                how = staff.core.serve()
                if how == "stopped":
                    staff.core.allow_serving()  # before looking, so that what changes meanwhile is seen next time
                staff.core.take_notices()
                if how == "repairs":
                    with self._lock:
                        staff.repair(self._forced())
                staff.collect()
                staff.feed()
        except BaseException as error:
            staff.cause = "".join(format_exception(error))
        self._break_down()

    def _closing(self) -> bool:
        """Whether no more tasks can come."""
        executor = self._executor()
        return bool(self._module._global_shutdown or executor is None or executor._shutdown_thread)

    def _forced(self) -> bool:
        """Whether terminate_workers() or kill_workers() is at work."""
        return bool(getattr(self._executor(), "_force_shutting_down", False))

    def _break_down(self) -> None:
        with self._lock:
            executor = self._executor()
            if executor is not None:
                executor._broken = self._staff.message or _BROKEN
                executor._shutdown_thread = True
            del executor
        self._staff.break_down(self._lost)

    def _lost(self) -> BaseException:
        error: BaseException = self._module.BrokenProcessPool(self._staff.message or _LOST)
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
            on_crash: str | None = None,
            timeout: float | None = None,
            retries: int | None = None,
            measure: bool | None = None,
            memory_limit: int | None = None,
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
            self._terms = terms_of(timeout, retries, measure)
            self._replaces = _replaces(on_crash, self._terms)
            check_memory_limit(memory_limit)
            self._memory_limit = memory_limit
            boot_ahead(mp_context, _WORKER)
            self._max_workers = max_workers
            self._mp_context = mp_context
            self._safe_to_dynamically_spawn_children = not forks
            self._initializer = initializer
            self._initargs = initargs
            self._max_tasks_per_child = max_tasks_per_child
            self._force_shutting_down = False
            self._executor_manager_thread: _ManagerThread | None = None
            self._processes: dict[int, Any] | None = {}
            self._shutdown_thread = False
            self._shutdown_lock = threading.Lock()
            self._broken: bool | str = False
            self._call_queue: _CallQueue | None = _CallQueue()
            self._staff: Staff | None = None
            self._submit_at_once: Callable[..., Any] = _not_yet
            self._future_type: Any = NativeFuture if "threads" in installed_parts() else StockFuture

        __init__.__doc__ = f"{stock.__init__.__doc__}\n{_MORE_ARGUMENTS}"

        def _open(self) -> Staff:
            """Makes what the first task needs. (It is imported now, while the zygote boots, not with the class.)"""
            from triga._processes.staff import Plan, Staff

            assert self._processes is not None
            plan = Plan(
                self._mp_context.Process,
                self._max_workers,
                self._initializer,
                self._initargs,
                self._max_tasks_per_child,
                memory_limit=self._memory_limit,
                by_value=main_is_out_of_reach(self._mp_context),
                replaces=self._replaces,
            )
            staff = Staff(plan, self._future_type, self._processes, module)
            if self._terms.are_plain():
                self._submit_at_once = staff.desk.submit
            return staff

        def _spawn_process(self) -> None:
            """Starts one worker."""
            assert self._staff is not None
            self._staff.start_one()

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
            future = self._submit_at_once(fn, args, kwargs)
            return future if future is not None else self._submit(self._terms, fn, args, kwargs)

        submit.__doc__ = _base.Executor.submit.__doc__

        def _submit(self, terms: Terms, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
            """Submits on the long way, which starts what has to be started and refuses what has to be refused."""
            with self._shutdown_lock:
                self._refuse()
                staff = self._staff
                if staff is None:
                    staff = self._staff = self._open()
                if self._safe_to_dynamically_spawn_children:
                    staff.start_needed(1)
                elif self._executor_manager_thread is None:
                    staff.start_all()
                future = staff.register(fn)
                if self._executor_manager_thread is None:
                    self._start_executor_manager_thread(staff)
                staff.desk.set_open(staff.complete)
            staff.send(future._index, (fn, args, kwargs or None), terms)
            return future

        def options(
            self, *, timeout: float | None = None, retries: int | None = None, measure: bool | None = None
        ) -> Options:
            """The executor with terms for the tasks that are submitted through what this returns.

            Args:
                timeout: seconds that a task may run; then its worker is killed and replaced, and the future raises
                    TaskTimeoutError.
                retries: how often a task that can be run twice is begun again after its worker died; needs
                    ``on_crash="replace"``.
                measure: whether ``future.metadata`` says what the task took.

            Raises:
                ValueError: for a timeout that is not positive, or retries of an executor that a crash breaks.
            """
            terms = terms_of(timeout, retries, measure, self._terms)
            _replaces("replace" if self._replaces else "break", terms)
            return Options(self, module, terms)

        def map(
            self,
            fn: Callable[..., Any],
            *iterables: Iterable[Any],
            timeout: float | None = None,
            chunksize: int = 1,
            buffersize: int | None = None,
            progress: bool = False,
        ) -> Iterator[Any]:
            return map_through(self, names, fn, iterables, timeout, chunksize, buffersize, progress)

        map.__doc__ = f"{stock.map.__doc__}\n    progress: show a progress bar (tqdm) while the results are iterated.\n"

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            staff = self._staff
            if staff is not None and staff.pid != os.getpid():
                self._shutdown_thread = True  # workers and lock are another process's
                return
            with self._shutdown_lock:
                self._shutdown_thread = True
                self._submit_at_once = _not_yet
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
            # Under the lock, as replacements are made under it: one that started later would escape.
            with self._shutdown_lock:
                self._force_shutting_down = True
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
