"""The class of triga's event loop."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import socket
import sys
import threading
from asyncio import base_events, events, format_helpers, futures, tasks, unix_events
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from triga import _core
from triga._loop import reports
from triga._loop.accepting import Accepting
from triga._loop.facade import ReadyQueue, Selector, Timers, Transports
from triga._loop.names import NameResolution
from triga._loop.pipes import PipeTransports
from triga._loop.sockets import SocketOperations
from triga._loop.transports import StreamTransports

_core.bind_asyncio(
    handle=events.Handle,
    timer_handle=events.TimerHandle,
    thread_safe_handle=getattr(events, "_ThreadSafeHandle", None),
    futures=futures,
    tasks=tasks,
    create_task=base_events.BaseEventLoop.create_task,
    extract_stack=format_helpers.extract_stack,
    callback_failed=reports.callback_failed,
    callback_was_slow=reports.callback_was_slow,
)

StockEventLoop: Any = unix_events._UnixSelectorEventLoop


class EventLoop(
    _core.LoopBase,
    SocketOperations,
    Accepting,
    StreamTransports,
    PipeTransports,
    NameResolution,
    StockEventLoop,  # type: ignore[misc]  # Any
):
    """asyncio's selector event loop, with the C++ core in place of all that runs while it works.

    What is not hot (subprocesses, TLS, shutdown) is asyncio's own code, on native scheduling
    and native readers and writers.
    """

    # Every attribute that asyncio's loops and this one set, of any version. What is in a slot leaves the instance's
    # dictionary unmade, and only then does the interpreter, from 3.12 on, remember where it found a method,
    # instead of looking call_soon() up anew at each call. Programs may set others, as ever.
    __slots__ = (
        "_asyncgens",
        "_asyncgens_shutdown_called",
        "_clock_resolution",
        "_coroutine_origin_tracking_enabled",
        "_coroutine_origin_tracking_saved_depth",
        "_csock",
        "_default_executor",
        "_exception_handler",
        "_executor_shutdown_called",
        "_file_queue",
        "_internal_fds",
        "_old_agen_hooks",
        "_other_transports",
        "_owns_wakeup",
        "_ready",
        "_scheduled",
        "_selector",
        "_signal_handlers",
        "_ssock",
        "_timer_cancelled_count",
        "_transports",
        "_unix_server_sockets",
        "_watcher",
        "slow_callback_duration",
    )
    if TYPE_CHECKING:  # asyncio's fields, of either state
        _ssock: Any
        _csock: Any
        _thread_id: Any
        _default_executor: Any
        _ready: Any
        _scheduled: Any
        _transports: Any
        _other_transports: Any

    def __new__(cls, selector: Any = None) -> Any:
        """A loop; one of asyncio's own if a selector is given, as that is what a selector is for."""
        if selector is None:
            return super().__new__(cls)
        if cls is not EventLoop:
            raise TypeError(
                f"{cls.__name__} derives from triga's event loop, which has no selector; "
                "derive from asyncio.selector_events.BaseSelectorEventLoop to use one"
            )
        return StockEventLoop(selector)

    def __init__(self, selector: Any = None) -> None:
        super().__init__(Selector(self))
        self._ready = ReadyQueue(self)
        self._scheduled = Timers(self)
        self._transports = Transports(self)
        self._other_transports = self._transports.others.data
        self._file_queue: tuple[int, Any] = (0, None)  # triga.aio's and the process it is of, made at its first use

    def close(self) -> None:
        """As asyncio's own. Operations on files that are under way are cancelled, or waited for."""
        if not self.is_running() and self._file_queue[1] is not None:
            self._file_queue[1].close()
        super().close()
        # As asyncio's are now. The stand-ins refer to the loop, and a closed loop is no cycle.
        self._ready, self._scheduled, self._transports = deque(), [], WeakValueDictionary()
        self._other_transports = self._transports.data

    def _make_self_pipe(self) -> None:
        """Makes the socket pair that C signal handlers write to; other threads wake the loop by an eventfd."""
        self._ssock, self._csock = socket.socketpair()
        self._ssock.setblocking(False)
        self._csock.setblocking(False)
        self._internal_fds += 1
        self._watch_signals(self._ssock)

    def _close_self_pipe(self) -> None:
        self._unwatch_signals()
        self._ssock.close()
        self._ssock = None
        self._csock.close()
        self._csock = None
        self._internal_fds -= 1

    def _run_forever_setup(self) -> None:
        if sys.version_info >= (3, 13):
            super()._run_forever_setup()
        else:
            self._check_closed()
            self._check_running()
            self._set_coroutine_origin_tracking(self._debug)
            self._old_agen_hooks = sys.get_asyncgen_hooks()
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
            events._set_running_loop(self)
        self._wake_by_signals()

    def _run_forever_cleanup(self) -> None:
        self._wake_by_signals_no_more()
        if sys.version_info >= (3, 13):
            super()._run_forever_cleanup()
        else:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*self._old_agen_hooks)

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """As asyncio's own. A child that was forked by a callback queues too: it may yet unwind and close the loop."""
        if not self._runs_in_parent():
            super()._asyncgen_finalizer_hook(agen)
            return
        self._asyncgens.discard(agen)
        self._add_callback(events.Handle(self.create_task, (agen.aclose(),), self))

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """As asyncio's own; the outcome comes from the native pool's worker to the loop without Python code between."""
        self._check_closed()
        if self._debug:
            self._check_callback(func, "run_in_executor")
        if executor is None:
            executor = self._default_executor
            self._check_default_executor()
            if executor is None:
                executor = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
                self._default_executor = executor
        return self._follow(executor.submit(func, *args))

    def _wake_by_signals(self) -> None:
        """Has every signal that Python handles end the loop's wait, as asyncio's loop for Windows does.

        One that arrives between the loop's last look at what signals are pending and its wait in the kernel interrupts
        neither. A program that has a wakeup descriptor of its own keeps it.
        """
        self._owns_wakeup = False
        try:
            before = signal.set_wakeup_fd(self._csock.fileno(), warn_on_full_buffer=False)
        except ValueError:
            return  # only the main thread of the main interpreter handles signals
        if before == -1:
            self._owns_wakeup = True
        elif before != self._csock.fileno():
            with contextlib.suppress(ValueError, OSError):  # closed meanwhile
                signal.set_wakeup_fd(before)

    def _wake_by_signals_no_more(self) -> None:
        # With add_signal_handler() the descriptor stays, as it does in asyncio.
        if self._owns_wakeup and not self._signal_handlers:
            signal.set_wakeup_fd(-1)


def _send_before_fork() -> None:
    """What was written in this turn leaves once, by the parent, whatever becomes of the two."""
    loop = events._get_running_loop()
    if isinstance(loop, EventLoop):
        loop._run_turn_end()


os.register_at_fork(before=_send_before_fork)

# The standard library's names: type(loop) and repr(loop) read as ever.
EventLoop.__module__ = StockEventLoop.__module__
EventLoop.__name__ = StockEventLoop.__name__
EventLoop.__qualname__ = StockEventLoop.__qualname__
_core.set_native_loop(EventLoop)
